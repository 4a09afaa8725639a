#!/usr/bin/env bash
# Kills a server under load, again and again, and checks after every round that everything it acknowledged in any round
# is there exactly once, with its last value.
#
#   scripts/kill9-rounds.sh [ROUNDS]        default 8; use 200 for a long run
#
# Environment: PIPAL, PIPAL_BENCH (binaries), PORT, SEED (of the instants), RATE (points per second), WORK (directory,
# kept when a round fails), MODELS (measure, stream, trace, joined by commas; default measure), DOCUMENTS (number of
# documents that are applied again and again, default 0), FLUSH (flush age; small,
# so that a round spans several flushes and merges). A round ends at a random instant after at least two flushes of
# each of the two shards.
# Exit status: 0 if nothing was lost, altered or duplicated.
set -u
. "$(dirname "$0")/lib.sh"

rounds=${1:-8}
rate=${RATE:-15000}
models=${MODELS:-measure}
documents=${DOCUMENTS:-0}
flush=${FLUSH:-700ms}
flushes_min=4
flush_wait_ms=30000
seed=${SEED:-$(date +%s)}
work=${WORK:-$(mktemp -d -t pipal-kill9.XXXXXX)}
data=$work/data
journal=$work/journal
server=
kills=0
early_kills=0
recovery_kills=0
ready_max=0
need_binaries
mkdir -p "$work"
RANDOM=$seed
echo "kill -9 rounds: $rounds, seed $seed, $models, $documents documents, $rate points/s, flush after $flush, in $work"

stop_server() {
    [ -n "$server" ] || return 0
    kill -9 "$server" 2>/dev/null
    wait "$server" 2>/dev/null
    server=
}
trap stop_server EXIT

start_server() {
    # shellcheck disable=SC2046
    "$PIPAL" $(serve_arguments "$data") --measure-flush-timeout "$flush" >>"$work/server.log" 2>&1 &
    server=$!
    disown "$server" 2>/dev/null
    started=$(now_ms)
}

await_server() {
    ready=$(wait_ready "$server" "$started") || fail "round $round: no server after $READY_LIMIT_MS ms; log: $work/server.log"
    [ "$ready" -le "$ready_max" ] || ready_max=$ready
}

kill_server() {
    kill -9 "$server" || fail "round $round: the server had ended by itself; log: $work/server.log"
    while kill -0 "$server" 2>/dev/null; do sleep 0.01; done
    server=
    kills=$((kills + 1))
}

await_flushes() {
    local since before
    since=$(now_ms)
    before=$(counter banyandb_measure_total_flush_loop_finished)
    while [ $(($(counter banyandb_measure_total_flush_loop_finished) - before)) -lt "$flushes_min" ]; do
        [ $(($(now_ms) - since)) -lt "$flush_wait_ms" ] || fail "round $round: no $flushes_min flushes in $flush_wait_ms ms"
        sleep 0.1
    done
}

round=0
start_server
await_server
while [ "$round" -lt "$rounds" ]; do
    round=$((round + 1))
    "$PIPAL_BENCH" crash-writer --addr "$ADDR" --journal "$journal" --rate "$rate" --duration-s 120 \
        --models "$models" --documents "$documents" --group crash --measures 4 --entities 250 --points-per-stream 250 --streams 4 \
        --seed "$seed" >"$work/writer.log" 2>&1 &
    writer=$!
    await_flushes
    sleep $((RANDOM % 3)).$((RANDOM % 10))$((RANDOM % 10))
    flushes=$(counter banyandb_measure_total_flush_loop_finished)
    merges=$(counter banyandb_measure_total_merge_loop_finished)
    kill_server
    wait "$writer" || { cat "$work/writer.log" >&2; fail "round $round: the writer met refusals; seed $seed, kept: $work"; }

    # Then it is killed once or twice more soon after its start. While its port is closed it recovers; afterwards it
    # may flush and merge what it found. Most instants lie within the time that the last recovery took.
    again=$((1 + RANDOM % 2))
    while [ "$again" -gt 0 ]; do
        again=$((again - 1))
        start_server
        sleep 0.$(printf '%03d' $((RANDOM % (RANDOM % 3 ? ready % 400 + 1 : 400))))
        (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null || recovery_kills=$((recovery_kills + 1))
        kill_server
        early_kills=$((early_kills + 1))
    done

    start_server
    await_server
    verify_started=$(now_ms)
    if ! "$PIPAL_BENCH" crash-verify --addr "$ADDR" --journal "$journal" --json >"$work/verify.json" 2>&1; then
        cat "$work/verify.json" >&2
        fail "round $round: rows are lost or wrong; seed $seed, kept: $work"
    fi
    points=$(sed -n 's/.*"acknowledged_points":\([0-9]*\).*/\1/p' "$work/verify.json")
    streams=$(sed -n 's/.*"streams_acknowledged":\([0-9]*\).*/\1/p' "$work/verify.json")
    echo "round $round: killed after $flushes flushes and $merges merges, ready after $ready ms, $points points of $streams acknowledged streams verified" \
        "in $(($(now_ms) - verify_started)) ms, $(du -sm "$data" | cut -f1) MiB, $(find "$data" -type f | wc -l) files"
done

# A stop that is asked for must keep everything as well.
kill -TERM "$server"
while kill -0 "$server" 2>/dev/null; do sleep 0.05; done
start_server
await_server
"$PIPAL_BENCH" crash-verify --addr "$ADDR" --journal "$journal" >"$work/verify.txt" 2>&1 ||
    { cat "$work/verify.txt" >&2; fail "after a graceful stop rows are lost or wrong; kept: $work"; }
cat "$work/verify.txt"
echo "passed: $rounds rounds, $kills kills ($early_kills of them within 0.4 s of a start, $recovery_kills before it was ready), slowest start $ready_max ms, seed $seed"
stop_server
[ -n "${WORK:-}" ] || rm -rf "$work"
