# m57 with Debian's nebula, either beginning the handshake. a begins.
bats_require_minimum_version 1.5.0
load lib

# meet PROGRAM_A PROGRAM_B [KEY=VALUE...]
meet() {
	need_nebula
	nodes_make "$@"
	ping_sizes a
	ping_sizes b
	iperf_serve b
	tcp_passes a
	tcp_passes a -R
	udp_passes a 1200 3000 3000 2950
	udp_passes b 64 5000 5000 4900
	node_alive a && node_alive b
}

@test "m57 to nebula, aes, 1 routine" {
	meet "$M57" "$NEBULA" cipher=aes routines=1
}

@test "m57 to nebula, aes, 3 routines" {
	meet "$M57" "$NEBULA" cipher=aes routines=3
}

@test "m57 to nebula, chachapoly, 3 routines" {
	meet "$M57" "$NEBULA" cipher=chachapoly routines=3
}

@test "nebula to m57, aes, 1 routine" {
	meet "$NEBULA" "$M57" cipher=aes routines=1
}

@test "nebula to m57, aes, 3 routines" {
	meet "$NEBULA" "$M57" cipher=aes routines=3
}

@test "nebula to m57, chachapoly, 1 routine" {
	meet "$NEBULA" "$M57" cipher=chachapoly routines=1
}

@test "m57 to nebula, tier 6.1" {
	NODE_ENV=(M57_TIER=6.1)
	meet "$M57" "$NEBULA" routines=2
}

@test "nebula to m57, tier 6.1" {
	NODE_ENV=(M57_TIER=6.1)
	meet "$NEBULA" "$M57" routines=2
}

@test "certificates of nebula-cert carry m57, those of m57-cert nebula" {
	need_nebula
	rm "$PAIR_DIR"/ca.* "$PAIR_DIR"/[ab].*
	credentials_make nebula-cert
	meet "$M57" "$NEBULA"
}

@test "both begin at the same moment" {
	need_nebula
	node_make a "$M57"
	node_make b "$NEBULA"
	wait_for 5 in_ns a ip route get "${OVERLAY[b]}"
	wait_for 5 in_ns b ip route get "${OVERLAY[a]}"
	in_ns a ping -q -c 20 -i 0.2 "${OVERLAY[b]}" >"$PAIR_DIR/ping-a" 2>&1 3>&- &
	local from_a=$!
	in_ns b ping -q -c 20 -i 0.2 "${OVERLAY[a]}" >"$PAIR_DIR/ping-b" 2>&1 3>&- || true
	wait "$from_a" || true
	cat "$PAIR_DIR/ping-a" "$PAIR_DIR/ping-b"
	ping_sizes a
	ping_sizes b
}
