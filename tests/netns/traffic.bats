# m57 with m57: every kind of traffic, both ciphers, one queue and several, both io_uring tiers.
bats_require_minimum_version 1.5.0
load lib

pair() {
	nodes_make "$M57" "$M57" "$@"
	traffic "$LATE"
	node_alive a && node_alive b
}

# With one routine a flow may overtake itself once, at its beginning, when it leaves the queue
# of sparse flows: control/system/sparse.h, sparse.bats. Without that queue, and with several routines, never.
LATE=0
LATE_SPARSE=128

@test "aes, 1 routine" {
	LATE=$LATE_SPARSE pair cipher=aes routines=1
}

@test "aes, 1 routine, no queue for sparse flows" {
	pair cipher=aes routines=1 sparse=false
}

@test "aes, 3 routines" {
	pair cipher=aes routines=3
}

@test "chachapoly, 1 routine" {
	LATE=$LATE_SPARSE pair cipher=chachapoly routines=1
}

@test "chachapoly, 1 routine, no queue for sparse flows" {
	pair cipher=chachapoly routines=1 sparse=false
}

@test "chachapoly, 3 routines" {
	pair cipher=chachapoly routines=3
}

@test "tier 6.1, aes, 1 routine" {
	NODE_ENV=(M57_TIER=6.1)
	LATE=$LATE_SPARSE pair cipher=aes routines=1
}

@test "tier 6.1, aes, 1 routine, no queue for sparse flows" {
	NODE_ENV=(M57_TIER=6.1)
	pair cipher=aes routines=1 sparse=false
}

@test "tier 6.1, chachapoly, 3 routines" {
	NODE_ENV=(M57_TIER=6.1)
	pair cipher=chachapoly routines=3
}

@test "without offloads" {
	pair routines=2 tun_extra="  use_offloads: false" listen_extra="  udp_offloads: false"
}

@test "mtu 1280 and mtu 8900" {
	nodes_make "$M57" "$M57" mtu=1280
	ping_sizes a
	node_end a
	node_end b
	ip -n "${NS[a]}" link set veth0 mtu 9000
	ip -n "${NS[b]}" link set veth0 mtu 9000
	nodes_make "$M57" "$M57" mtu=8900
	traffic
}

@test "segments of a TCP flow stay in order" {
	nodes_make "$M57" "$M57" routines=3
	iperf_serve b
	tcp_passes a
	tcp_passes a -P 4
	# the sender's own evidence: it was never told of a segment that came late but did come
	[ "$(counter a TcpExtTCPSACKReorder)" = 0 ]
	[ "$(counter a TcpExtTCPTSReorder)" = 0 ]
}

# arrives FROM PORT [SECONDS]: how many of 200 packets to the port come through; so long the first is
# waited for
arrives() {
	local peer sink
	peer=$(other "$1")
	: >"$PAIR_DIR/arrives"
	in_ns "$peer" "$BLAST" sink "$2" --limit "${3:-2}" >"$PAIR_DIR/arrives" </dev/null 3>&- &
	sink=$!
	wait_for 2 grep -q ready "$PAIR_DIR/arrives"
	in_ns "$1" "$BLAST" send "${OVERLAY[$peer]}" "$2" --packets 200 --rate 1000 >/dev/null
	wait "$sink" || true
	awk '/^packets/ { print $2 }' "$PAIR_DIR/arrives"
}

@test "a port no rule allows stays closed" {
	nodes_make "$M57" "$M57"
	[ "$(arrives a 6000)" = 0 ]
	[ "$(arrives a 5202 10)" = 200 ]
}

@test "a peer outside the group is refused" {
	rm "$PAIR_DIR"/a.*
	cert_tool "$M57_CERT" sign -name a -ip 10.42.0.1/16 -groups other
	node_make a "$M57"
	node_make b "$M57"
	# ping goes from b: a's own rule lets group demo in, and b's conntrack the answer
	tunnel_wait b
	[ "$(arrives a 5202)" = 0 ]
	[ "$(arrives b 5202 10)" = 200 ]
}
