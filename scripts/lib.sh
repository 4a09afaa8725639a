# Shared by the scripts of this directory; source it.
# Needs: PIPAL and PIPAL_BENCH (paths of the binaries), set here from the release build unless given.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
PIPAL=${PIPAL:-$target/release/pipal}
PIPAL_BENCH=${PIPAL_BENCH:-$target/release/pipal-bench}
PORT=${PORT:-27912}
ADDR=127.0.0.1:$PORT
READY_LIMIT_MS=${READY_LIMIT_MS:-60000}

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

need_binaries() {
    for binary in "$PIPAL" "$PIPAL_BENCH"; do
        [ -x "$binary" ] || fail "$binary is missing; build with: cargo build --release -p pipal -p pipal-bench"
    done
}

now_ms() {
    echo $(($(date +%s%N) / 1000000))
}

# The arguments of a server on $ADDR with the data directory $1; its metrics are on port $PORT + 2.
serve_arguments() {
    echo serve --data-dir "$1" --grpc-port "$PORT" --http-port $((PORT + 1)) \
        --observability-listener-addr "127.0.0.1:$((PORT + 2))" --logging-level warn
}

# The sum of a counter of the server over all label sets, as a whole number; 0 if there is none.
counter() {
    local name=$1
    {
        exec 4<>"/dev/tcp/127.0.0.1/$((PORT + 2))" || exit 0
        printf 'GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n' >&4
        cat <&4
    } 2>/dev/null | awk -v name="$name" '$1 == name || index($1, name "{") == 1 { sum += $2 } END { printf "%d", sum }'
}

# Waits until process $1 accepts connections; prints the milliseconds since $2. Fails when the process has ended.
wait_ready() {
    local pid=$1 since=$2
    while ! (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; do
        kill -0 "$pid" 2>/dev/null || return 1
        [ $(($(now_ms) - since)) -lt "$READY_LIMIT_MS" ] || return 1
        sleep 0.02
    done
    echo $(($(now_ms) - since))
}
