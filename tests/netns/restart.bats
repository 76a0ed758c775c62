# One side is killed without a word and started again; the other has a tunnel that leads nowhere.
bats_require_minimum_version 1.5.0
load lib

# revive SIDE PROGRAM FROM: kills and starts SIDE; pings from FROM pass again within 20 s
revive() {
	node_end "$1" KILL || true
	node_start "$1" "$2"
	tunnel_wait "$3" 20
}

heal() {
	nodes_make "$@"
	revive b "$2" a
	revive a "$1" a
	revive a "$1" b
	revive b "$2" b
	ping_sizes a
	iperf_serve b
	tcp_passes a
}

@test "m57 and m57, killed and started again" {
	heal "$M57" "$M57"
}

@test "m57 and nebula, killed and started again" {
	command -v "$NEBULA" >/dev/null || skip "needs nebula (scripts/install-deps)"
	heal "$M57" "$NEBULA"
}

@test "tier 6.1, killed and started again" {
	NODE_ENV=(M57_TIER=6.1)
	heal "$M57" "$M57"
}

@test "killed in the middle of a transfer" {
	nodes_make "$M57" "$M57"
	load_begin
	revive b "$M57" a
	load_end
	ping_sizes a
}

@test "ended with SIGTERM: the other side opens a new tunnel at once" {
	nodes_make "$M57" "$M57"
	node_end b
	node_start b
	tunnel_wait a 5
}

# A first packet that is answered by the old tunnel is lost, and a SYN waits for a second.
@test "one side has lost its tunnel: the answer to its first packet comes" {
	nodes_make "$M57" "$M57"
	for _ in {1..20}; do
		in_ns a "$B/m57ctl" -socket "$PAIR_DIR/a.sock" close-tunnel -local-only "${OVERLAY[b]}"
		ping_overlay a
	done
}

@test "the underlay address changes: the tunnel follows" {
	nodes_make "$M57" "$M57"
	ip -n "${NS[a]}" addr del 192.0.2.1/24 dev veth0
	ip -n "${NS[a]}" addr add 192.0.2.77/24 dev veth0
	# a sends first: b learns where it is now from a packet that authenticates
	tunnel_wait a 5
	tunnel_wait b 5
}
