# Load makers between the namespaces of scripts/netns.bash: sourced after it, by scripts/demo,
# perf/bench and perf/bench_network. Each prints figures on one line and never fails: no traffic is zeros.
# LOAD_DIR: where their raw output goes.

# load_tcp ADDRESS SECONDS [IPERF3-ARGUMENTS]: one flow a to b (-R: b to a; -P n: n flows).
# Prints bit/s received, bytes received, retransmits. Needs iperf_serve b.
load_tcp() {
	local to=$1 seconds=$2
	shift 2
	in_ns a timeout --foreground $((seconds + 8)) iperf3 -J -c "$to" -p 5201 -t "$seconds" "$@" \
		>"$LOAD_DIR/iperf.json" 2>/dev/null </dev/null || true
	"$REPO"/scripts/figures tcp "$LOAD_DIR/iperf.json" 2>/dev/null || echo 0 0 0
}

# load_blast ADDRESS BYTES SECONDS [SOURCE-ARGUMENTS]: UDP datagrams from a to b, one by one.
# Prints packets received, seconds from first to last, packets sent.
load_blast() {
	local to=$1 bytes=$2 seconds=$3 sink
	shift 3
	: >"$LOAD_DIR/sink"
	in_ns b "$BLAST" sink 5202 --limit $((seconds + 4)) --idle 300 >"$LOAD_DIR/sink" 2>/dev/null </dev/null &
	sink=$!
	wait_for 2 grep -q ready "$LOAD_DIR/sink" || true
	in_ns a timeout --foreground $((seconds + 8)) "$BLAST" send "$to" 5202 --bytes "$bytes" --seconds "$seconds" \
		"$@" >"$LOAD_DIR/source" 2>&1 </dev/null || true
	wait "$sink" || true
	awk '/^packets/ { packets = $2; seconds = $6 } /^sent/ { sent = $2 }
		END { print packets + 0, seconds + 0, sent + 0 }' "$LOAD_DIR/sink" "$LOAD_DIR/source"
}

# load_ping ADDRESS COUNT SECONDS-BETWEEN: the output of ping, a line per answer.
load_ping() {
	in_ns a timeout --foreground 60 ping -n -c "$2" -i "$3" -W 1 "$1" 2>/dev/null </dev/null || true
}
