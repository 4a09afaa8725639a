#!/usr/bin/env bash
# Writes load M to a server inside a memory control group and verifies every row.
#
#   scripts/cgroup-load.sh [MIB] [LOAD-M OPTIONS...]        default 256
#
# Exit status: 0 passed, 1 failed, 77 where this machine does not allow memory control groups (nothing was tested).
set -u
. "$(dirname "$0")/lib.sh"

mib=${1:-256}
[ $# -eq 0 ] || shift
work=$(mktemp -d -t pipal-cgroup.XXXXXX)
server=
group=
need_binaries

impossible() {
    echo "NOT TESTED: $*" >&2
    rm -rf "$work"
    exit 77
}

# Sets group, peak_file and events: control groups v2 first, then v1.
make_group() {
    local limit=$((mib * 1024 * 1024)) name=pipal-load-$$
    if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
        group=/sys/fs/cgroup/$name
        mkdir "$group" 2>/dev/null || impossible "cannot create $group (needs root and a writable cgroup file system)"
        if ! echo "$limit" 2>/dev/null >"$group/memory.max"; then
            rmdir "$group"
            impossible "the memory controller is not enabled for children of /sys/fs/cgroup"
        fi
        [ ! -f "$group/memory.swap.max" ] || echo 0 >"$group/memory.swap.max"
        peak_file=$group/memory.peak
        events=$group/memory.events
    elif [ -d /sys/fs/cgroup/memory ]; then
        group=/sys/fs/cgroup/memory/$name
        mkdir "$group" 2>/dev/null || impossible "cannot create $group (needs root and a writable cgroup file system)"
        if ! echo "$limit" 2>/dev/null >"$group/memory.limit_in_bytes"; then
            rmdir "$group"
            impossible "cannot set $group/memory.limit_in_bytes"
        fi
        peak_file=$group/memory.max_usage_in_bytes
        events=$group/memory.oom_control
    else
        impossible "no memory control groups are mounted at /sys/fs/cgroup"
    fi
}

clean_up() {
    [ -z "$server" ] || { kill -9 "$server" 2>/dev/null; wait "$server" 2>/dev/null; }
    [ -z "$group" ] || { sleep 0.2; rmdir "$group" 2>/dev/null; }
    rm -rf "$work"
}

make_group
trap clean_up EXIT
# The shell enters the group and becomes the server, so that every page of the server is charged.
# shellcheck disable=SC2046
bash -c 'echo $$ >"$1/cgroup.procs" || exit 1; shift; exec "$@"' enter "$group" \
    "$PIPAL" $(serve_arguments "$work/data") >"$work/server.log" 2>&1 &
server=$!
started=$(now_ms)
wait_ready "$server" "$started" >/dev/null || { cat "$work/server.log" >&2; fail "the server does not start within $mib MiB"; }
grep -q "$(basename "$group")" "/proc/$server/cgroup" || fail "the server is not inside $group"

status=0
"$PIPAL_BENCH" load-m --addr "$ADDR" --pid "$server" --data-dir "$work/data" --verify "$@" || status=1
if ! kill -0 "$server" 2>/dev/null; then
    status=1
    echo "the server was killed or ended; last lines of its log:" >&2
    tail -5 "$work/server.log" >&2
fi
[ ! -r "$peak_file" ] || echo "peak of the group, page cache included: $(($(cat "$peak_file") / 1048576)) of $mib MiB"
[ ! -r "$events" ] || grep -E '^oom_kill ' "$events"
if [ "$status" -eq 0 ]; then echo "passed: load M within $mib MiB"; else echo "FAILED: load M within $mib MiB" >&2; fi
exit "$status"
