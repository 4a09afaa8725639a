#!/usr/bin/env bash
# Writes load M to a server inside a memory control group and verifies every row; then kills it under the same load and
# verifies what it recovers there.
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
start_server() {
    # shellcheck disable=SC2046
    bash -c 'echo $$ >"$1/cgroup.procs" || exit 1; shift; exec "$@"' enter "$group" \
        "$PIPAL" $(serve_arguments "$work/data") >>"$work/server.log" 2>&1 &
    server=$!
    disown "$server" 2>/dev/null
    started=$(now_ms)
    ready=$(wait_ready "$server" "$started") || { cat "$work/server.log" >&2; fail "the server does not start within $mib MiB"; }
    grep -q "$(basename "$group")" "/proc/$server/cgroup" || fail "the server is not inside $group"
}

require_alive() {
    kill -0 "$server" 2>/dev/null && return
    tail -5 "$work/server.log" >&2
    fail "the server was killed or ended"
}

start_server
"$PIPAL_BENCH" load-m --addr "$ADDR" --pid "$server" --data-dir "$work/data" --verify "$@" || fail "load M within $mib MiB"
require_alive

# The same load again as fast as it goes, until a kill -9 in its midst; the recovery runs inside the group as well.
"$PIPAL_BENCH" crash-writer --addr "$ADDR" --journal "$work/journal" --duration-s 60 --group crash \
    --measures 40 --entities 1000 --points-per-stream 10000 --streams 4 >"$work/writer.log" 2>&1 &
writer=$!
sleep 8
require_alive
kill -9 "$server"
while kill -0 "$server" 2>/dev/null; do sleep 0.01; done
wait "$writer" || { cat "$work/writer.log" >&2; fail "the writer met refusals"; }
start_server
"$PIPAL_BENCH" crash-verify --addr "$ADDR" --journal "$work/journal" || fail "rows are lost or wrong after kill -9"
require_alive

echo "killed and ready again after $ready ms"
[ ! -r "$peak_file" ] || echo "peak of the group, page cache included: $(($(cat "$peak_file") / 1048576)) of $mib MiB"
[ ! -r "$events" ] || grep -E '^oom_kill ' "$events"
echo "passed: load M, kill -9 and recovery within $mib MiB"
