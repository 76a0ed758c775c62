# Flows that send little and the others: which queue each takes at both ends, and what order a flow
# keeps.
bats_require_minimum_version 1.5.0
load lib
. "$BATS_TEST_DIRNAME/per_queue.bash"

sums() { # counters that say where packets went: read from the tun, received, written
	local side
	for side in a b; do
		per_queue $side tun_packets
		per_queue $side udp_received_packets
		per_queue $side tun_written_packets
	done
}

# grew BEFORE QUEUE: by how much each of the sums has grown there, in one line
grew() {
	python3 -c '
import sys
old, new = ([line.split() for line in text.splitlines()] for text in sys.argv[1:3])
print(*(int(n[int(sys.argv[3])]) - int(o[int(sys.argv[3])]) for o, n in zip(old, new)))' "$1" "$(sums)" "$2"
}

# all_of "NUMBERS" TEST NUMBER: each of them
all_of() {
	local number
	for number in $1; do
		[ "$number" "$2" "$3" ] || return 1
	done
}

sparse_queue() { # SIDE: True or False
	ctl "$1" status | python3 -c 'import json, sys; print(json.load(sys.stdin)["sparseQueue"])'
}

pings() { # COUNT
	in_ns a ping -q -c "$1" -i 0.02 "${OVERLAY[b]}" | grep " 0% packet loss"
}

@test "pings take the sparse queues of both ends, a transfer the others" {
	local before bulk sparse
	nodes_make "$M57" "$M57" routines=1
	[ "$(sparse_queue a) $(sparse_queue b)" = "True True" ]
	iperf_serve b
	before=$(sums)
	pings 40
	[ "$(grew "$before" 1)" = "40 40 40 40 40 40" ]
	all_of "$(grew "$before" 0)" -le 5 # tests of the tunnel
	before=$(sums)
	tcp_passes a
	bulk=$(grew "$before" 0) sparse=$(grew "$before" 1)
	echo "bulk: $bulk, sparse: $sparse"
	all_of "$bulk" -ge 100
	all_of "$sparse" -le 300 # its beginning, and the connection of iperf3's own
}

@test "a transfer goes on while its neighbours ping, and no packet is refused" {
	local reason
	nodes_make "$M57" "$M57" routines=1
	iperf_serve b
	in_ns a iperf3 -c "${OVERLAY[b]}" -p 5201 -t 3 --json >"$PAIR_DIR/tcp" </dev/null 3>&- &
	pings 100
	wait $!
	python3 - "$PAIR_DIR/tcp" <<'PY'
import json, sys
end = json.load(open(sys.argv[1]))["end"]
print(end["sum_received"]["bits_per_second"], end["sum_sent"]["retransmits"])
assert end["sum_received"]["bits_per_second"] > 1e8 and end["sum_sent"]["retransmits"] < 20
PY
	for reason in replay authentication index_unknown; do
		[ "$(ctl b drops -interval 0 | python3 -c '
import json, sys
print(next(r["count"] for r in json.load(sys.stdin) if r["name"] == sys.argv[1]))' $reason)" = 0 ]
	done
}

@test "numbered packets at a steady rate stay in order below the share and above it" {
	local received disorder ordered rate
	nodes_make "$M57" "$M57" routines=1
	for rate in 1000 20000; do
		: >"$PAIR_DIR/sink"
		in_ns b "$BLAST" sink 5210 --limit 20 >"$PAIR_DIR/sink" </dev/null 3>&- &
		wait_for 5 grep -q ready "$PAIR_DIR/sink"
		in_ns a "$BLAST" send "${OVERLAY[b]}" 5210 --bytes 100 --packets $rate --rate $rate --seconds 10
		wait $! || true
		read -r _ received _ _ _ _ _ disorder < <(grep ^packets "$PAIR_DIR/sink")
		read -r _ ordered < <(grep ^in_order_from "$PAIR_DIR/sink")
		echo "at $rate/s: received $received, out of order $disorder, none from $ordered on"
		[ "$received" -ge $((rate * 9 / 10)) ]
		# the change of the queue may cost the order of what was on the way, once
		[ "$disorder" -le $((rate == 1000 ? 0 : 128)) ]
		[ "$ordered" -le "$SETTLED" ]
	done
}

@test "a peer without a sparse queue, and Debian's nebula, notice nothing" {
	nodes_make "$M57" "$M57" routines=1
	config_write b routines=1 sparse=false
	node_end b
	node_start b
	tunnel_wait a
	[ "$(sparse_queue a) $(sparse_queue b)" = "True False" ]
	iperf_serve b
	pings 20
	tcp_passes a
	tcp_passes a -R
	[ "$(per_queue b tun_packets | wc -w)" = 1 ]
	node_end a
	node_end b
	nodes_make "$M57" "$NEBULA" routines=1
	[ "$(sparse_queue a)" = True ]
	iperf_serve b
	pings 20
	tcp_passes a
	tcp_passes a -R
}

@test "the program is loaded although the kernel's check of it is interrupted" {
	needs_plain_build
	NODE_ENV=("LD_PRELOAD=$B/tests/netns/kernel_refuses.so" M57_REFUSES=program)
	nodes_make "$M57" "$M57" routines=1
	[ "$(sparse_queue a) $(sparse_queue b)" = "True True" ]
}

@test "without the right to load the program the node works, and says so" {
	[ "$(cat /proc/sys/kernel/unprivileged_bpf_disabled)" != 0 ] || skip "here everybody may load programs"
	config_write a routines=1
	config_write b routines=1
	node_start b
	in_ns a setpriv --bounding-set -sys_admin,-bpf --inh-caps -sys_admin,-bpf \
		"$M57" -config "$PAIR_DIR/a.yml" >"$PAIR_DIR/a.log" 2>&1 </dev/null 3>&- &
	NODE_PID[a]=$! NODE_LOG[a]=$PAIR_DIR/a.log
	tunnel_wait a
	[ "$(sparse_queue a)" = False ]
	grep -q "Flows that send little wait with the others" "$PAIR_DIR/a.log"
	pings 10
}
