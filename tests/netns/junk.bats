# Whatever arrives on the UDP port: the transfer goes on, the node stays, its memory stays.
bats_require_minimum_version 1.5.0
load lib

junk() {
	nodes_make "$M57" "$M57" "$@"
	load_begin
	in_ns b python3 "$BATS_TEST_DIRNAME/junk.py" "${UNDERLAY[a]}" 4242 10000 $RANDOM
	in_ns a python3 "$BATS_TEST_DIRNAME/junk.py" "${UNDERLAY[b]}" 4242 10000 $RANDOM
	kill -0 "$LOAD_PID"
	node_alive a
	node_alive b
	load_end
	pair_remove_servers
	iperf_serve b
	tcp_passes a
	ping_sizes a
}

# the server of an interrupted run may still hold the port
pair_remove_servers() {
	local pid
	for pid in $(ip netns pids "${NS[b]}"); do
		if [ "$(cat "/proc/$pid/comm")" = iperf3 ]; then kill -KILL "$pid"; fi
	done
	wait_for 5 not_listening
}

not_listening() {
	! listening b 5201
}

@test "10,000 datagrams of junk each way during a transfer" {
	junk routines=2
}

@test "tier 6.1: 10,000 datagrams of junk each way during a transfer" {
	NODE_ENV=(M57_TIER=6.1)
	junk routines=2
}

@test "a flood of stage 1 packets leaves memory bounded" {
	needs_plain_build
	nodes_make "$M57" "$M57" routines=2
	in_ns b python3 - "${UNDERLAY[a]}" <<'PY'
import os, socket, struct, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect((sys.argv[1], 4242))
for _ in range(50000):
    try:
        sock.send(struct.pack(">BBHIQ", 0x10, 0, 0, 0, 1) + os.urandom(400))
    except OSError:
        pass
PY
	tunnel_wait a
	[ "$(node_memory a)" -le $((48 * 1024)) ]
}
