# Many peers, floods, and strangers who use what they have seen: waits are bounded, figures are those
# of `make bench-network`.
bats_require_minimum_version 1.5.0
load lib

CROWD=$B/perf/crowd
FLOOD=$B/perf/flood
OPEN="[{port: any, proto: any, host: any}]"
STRANGER=192.0.2.66

crowd_of() { # MEMORY-MB CROWD-OPTIONS
	local most=$1
	shift
	config_write a routines=2 inbound="$OPEN"
	node_start a
	wait_for 5 in_ns a test -e /sys/class/net/tun-a/flags
	in_ns a "$CROWD" echo 5302 >"$PAIR_DIR/echo" </dev/null 3>&- &
	wait_for 5 grep -q ready "$PAIR_DIR/echo"
	in_ns b timeout 60 "$CROWD" tunnels "${UNDERLAY[a]}" 4242 "$PAIR_DIR" --to "${OVERLAY[a]}" "$@" \
		>"$PAIR_DIR/crowd" 2>&1 3>&- || { cat "$PAIR_DIR/crowd"; return 1; }
	cat "$PAIR_DIR/crowd"
	node_alive a
	echo "memory: $(node_memory a) kB"
	nm -D "$M57" 2>/dev/null | grep -q __asan_init || [ "$(node_memory a)" -le $((most * 1024)) ]
}

@test "1,000 tunnels, traffic on 50: all made, nothing lost, order kept" {
	crowd_of 48 --peers 1000 --active 50 --rate 1000 --seconds 2
	grep -q "tunnels 1000 failed 0" "$PAIR_DIR/crowd"
}

@test "peers that come again and again leave nothing behind" {
	crowd_of 32 --peers 20 --rounds 30 --window 20 --active 20 --rate 200 --seconds 1
	grep -q "tunnels 20 failed 0 handshakes 600" "$PAIR_DIR/crowd"
}

sent_bytes() {
	in_ns a cat /sys/class/net/tun-a/statistics/tx_bytes
}

# transfer_advances: five megabytes more than when it was asked first
transfer_advances() {
	[ "$(sent_bytes)" -gt $((BEFORE + 5000000)) ]
}

goes_on() {
	BEFORE=$(sent_bytes)
	wait_for 10 transfer_advances || { echo "$1: the transfer stands"; return 1; }
}

# flooded KIND [FLOOD-OPTIONS]: 100,000 packets/s at b while a transfer runs
flooded() {
	local source kind=$1
	shift
	in_ns a "$FLOOD" "$kind" "${UNDERLAY[b]}" 4242 "$@" --seconds 2 >"$PAIR_DIR/flood" 2>&1 </dev/null 3>&- &
	source=$!
	goes_on "$kind"
	wait $source
	cat "$PAIR_DIR/flood"
	goes_on "after $kind"
	kill -0 "$LOAD_PID"
	node_alive a && node_alive b
}

@test "floods of 100,000 packets a second: junk, valid stage 1, the live peer's certificate" {
	nodes_make "$M57" "$M57" routines=2 inbound="$OPEN"
	load_begin
	flooded junk
	flooded stage1 "$PAIR_DIR"
	flooded stage1 "$PAIR_DIR" --cert "$PAIR_DIR/a.crt"
	echo "memory: $(node_memory b) kB"
	nm -D "$M57" 2>/dev/null | grep -q __asan_init || [ "$(node_memory b)" -le $((64 * 1024)) ]
	load_end
	ping_overlay a
	ping_overlay b
}

# strangers PROGRAM_A: a recorded stage 1 of a, and one with a's certificate, come to b from elsewhere
strangers() {
	local recorder
	ip -n "${NS[a]}" addr add "$STRANGER/24" dev veth0
	in_ns b python3 "$BATS_TEST_DIRNAME/record_stage1.py" veth0 "$PAIR_DIR/stage1" >"$PAIR_DIR/recorder" 3>&- &
	recorder=$!
	wait_for 5 grep -q ready "$PAIR_DIR/recorder"
	nodes_make "$1" "$M57" inbound="$OPEN"
	wait $recorder
	load_begin
	replayed
	goes_on "a recorded stage 1"
	in_ns a "$FLOOD" stage1 "${UNDERLAY[b]}" 4242 "$PAIR_DIR" --cert "$PAIR_DIR/a.crt" --from "$STRANGER" --packets 1
	goes_on "a stage 1 with the victim's certificate"
	in_ns a "$FLOOD" stage1 "${UNDERLAY[b]}" 4242 "$PAIR_DIR" --cert "$PAIR_DIR/a.crt" --from "$STRANGER" \
		--packets 3000 --rate 2000
	goes_on "3,000 of them"
	run ! grep -q "roamed" "$PAIR_DIR/b.log"
	load_end
	ping_overlay b
}

replayed() {
	in_ns a python3 "$BATS_TEST_DIRNAME/record_stage1.py" "$PAIR_DIR/stage1" "${UNDERLAY[b]}" "$STRANGER"
}

@test "a stranger with a recorded stage 1, or a copied certificate, takes nothing from m57" {
	strangers "$M57"
}

@test "nor from nebula" {
	command -v "$NEBULA" >/dev/null || skip "needs nebula (scripts/install-deps)"
	strangers "$NEBULA"
}

@test "a recorded stage 1 is the first that a restarted node hears: the peer comes back all the same" {
	local recorder
	ip -n "${NS[a]}" addr add "$STRANGER/24" dev veth0
	in_ns b python3 "$BATS_TEST_DIRNAME/record_stage1.py" veth0 "$PAIR_DIR/stage1" >"$PAIR_DIR/recorder" 3>&- &
	recorder=$!
	wait_for 5 grep -q ready "$PAIR_DIR/recorder"
	nodes_make "$M57" "$M57" inbound="$OPEN"
	wait $recorder
	node_end b KILL || true
	node_start b
	wait_for 5 in_ns b test -e /sys/class/net/tun-b/flags
	replayed
	wait_for 5 grep -q "Handshake message received" "$PAIR_DIR/b.log"
	wait_for 10 ping_overlay a
	wait_for 10 ping_overlay b
}
