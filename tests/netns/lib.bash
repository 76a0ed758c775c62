# What the namespace tests share; `load lib` brings it. A test calls nodes_make, drives traffic with
# the functions below, and leaves everything to teardown.

. "$BATS_TEST_DIRNAME/../../scripts/netns.bash"

need_machine() {
	[ "$(id -u)" = 0 ] || skip "needs root"
	[ -c /dev/net/tun ] || skip "needs /dev/net/tun"
	local probe=m57-$BASHPID-probe
	ip netns add "$probe" 2>/dev/null || skip "needs network namespaces"
	ip netns del "$probe"
}

need_nebula() {
	command -v "$NEBULA" >/dev/null || skip "needs nebula (scripts/install-deps)"
}

setup() {
	need_machine
	NODE_ENV=()
	JOBS=()
	mkdir -p "$BATS_TEST_TMPDIR/pair"
	pair_make "$BATS_TEST_TMPDIR/pair"
	credentials_make >/dev/null
}

teardown() {
	logs_show
	namespaces_remove
}

# logs_show: the end of each node's log; bats shows it only when the test has failed
logs_show() {
	local log
	for log in "$PAIR_DIR"/?.log; do
		[ -f "$log" ] && { echo "--- ${log##*/}"; tail -n 40 "$log"; }
	done
	return 0
}

# nodes_make PROGRAM_A PROGRAM_B [KEY=VALUE...]: configurations, both nodes, a tunnel begun by a.
# Keys are those of config_write; routines are m57's (nebula gets 1).
nodes_make() {
	local first=$1 second=$2
	shift 2
	node_make a "$first" "$@"
	node_make b "$second" "$@"
	tunnel_wait a || {
		echo "no tunnel"
		return 1
	}
}

node_make() {
	local side=$1 program=$2
	shift 2
	[ "$program" = "$M57" ] || set -- "$@" routines=1
	config_write "$side" "$@"
	node_start "$side" "$program"
}

# moved FROM [iperf3 options]: megabytes received by a one-flow TCP transfer of 1.5 s over the overlay
moved() {
	local side=$1 bytes
	shift
	in_ns "$side" timeout 20 iperf3 -J -p 5201 -t 1.5 -c "${OVERLAY[$(other "$side")]}" "$@" \
		>"$PAIR_DIR/iperf.json" </dev/null 3>&- || cat "$PAIR_DIR/iperf.json"
	read -r _ bytes _ < <("$REPO/scripts/figures" tcp "$PAIR_DIR/iperf.json")
	echo $((bytes / 1000000))
}

tcp_passes() {
	local megabytes
	megabytes=$(moved "$@")
	echo "TCP $*: $megabytes MB"
	[ "$megabytes" -ge 10 ]
}

# udp_passes FROM BYTES PACKETS RATE LEAST [LATE]: at least LEAST of PACKETS arrive, in order but for LATE of
# the first SETTLED
SETTLED=1000
udp_passes() {
	local side=$1 sink peer received disorder ordered
	peer=$(other "$1")
	: >"$PAIR_DIR/sink" # else the word of an earlier one is taken for this one's
	in_ns "$peer" "$BLAST" sink 5202 --limit 20 >"$PAIR_DIR/sink" </dev/null 3>&- &
	sink=$!
	wait_for 2 grep -q ready "$PAIR_DIR/sink"
	in_ns "$side" timeout 20 "$BLAST" send "${OVERLAY[$peer]}" 5202 --bytes "$2" --packets "$3" \
		--rate "$4" --seconds 15 </dev/null 3>&-
	wait "$sink" || true
	read -r _ received _ _ _ _ _ disorder < <(grep ^packets "$PAIR_DIR/sink")
	read -r _ ordered < <(grep ^in_order_from "$PAIR_DIR/sink")
	echo "UDP $*: received $received, out of order $disorder, none from $ordered on"
	[ "${received:-0}" -ge "$5" ] && [ "$disorder" -le "${6:-0}" ] && [ "$ordered" -le $SETTLED ]
}

ping_sizes() {
	local side=$1 size
	for size in 0 1 7 8 16 63 64 100 548 1000 1244 1271 1272 1273 1400 1472 2544 2545 4000 9000 16000 \
		32768 65000; do
		in_ns "$side" ping -q -c 3 -i 0.01 -W 2 -s $size "${OVERLAY[$(other "$side")]}" \
			>"$PAIR_DIR/ping" 2>&1 3>&- || {
			echo "ping of $size bytes from $side:"
			cat "$PAIR_DIR/ping"
			return 1
		}
	done
}

# traffic [LATE]: everything both ways, in order but for LATE of the first packets of a flow
traffic() {
	ping_sizes a
	ping_sizes b
	iperf_serve b
	tcp_passes a
	tcp_passes a -R
	tcp_passes a -P 4
	udp_passes a 1200 5000 5000 4990 "${1:-0}"
	udp_passes b 64 10000 10000 9990 "${1:-0}"
}

# load_begin / load_end: a TCP transfer from a to b in the background
load_begin() {
	iperf_serve b
	in_ns a timeout 60 iperf3 -p 5201 -t "${1:-30}" -c "${OVERLAY[b]}" >"$PAIR_DIR/load.log" 2>&1 </dev/null 3>&- &
	LOAD_PID=$!
	wait_for 5 tunnel_carries a
}

load_end() {
	local pid
	kill "$LOAD_PID" 2>/dev/null || true
	for pid in $(ip netns pids "${NS[a]}"); do # the transfer itself, which would go on
		[ "$(cat "/proc/$pid/comm" 2>/dev/null)" != iperf3 ] || kill -KILL "$pid" 2>/dev/null || true
	done
	wait "$LOAD_PID" 2>/dev/null || true
	wait_for 10 load_drained # what the socket still holds fills the tun's queue, where a ping is lost
}

# Nearly nothing leaves through a's tun any more.
load_drained() {
	local before
	before=$(in_ns a cat /sys/class/net/tun-a/statistics/tx_bytes)
	sleep 0.1
	[ $(($(in_ns a cat /sys/class/net/tun-a/statistics/tx_bytes) - before)) -lt 20000 ]
}

# tunnel_carries SIDE: more than 5 MB have left through the side's tun device
tunnel_carries() {
	[ "$(in_ns "$1" cat "/sys/class/net/tun-$1/statistics/tx_bytes")" -gt 5000000 ]
}

counter() {
	in_ns "$1" nstat -asz "$2" | awk -v name="$2" '$1 == name { print $2 }'
}

needs_plain_build() {
	! nm -D "$M57" 2>/dev/null | grep -q __asan_init || skip "this build has the sanitizers in it"
}
