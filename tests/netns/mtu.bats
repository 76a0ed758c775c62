# The egress link is smaller than a sealed segment: GSO is refused, singles are sent and fragmented.
bats_require_minimum_version 1.5.0
load lib

narrow() {
	ip -n "${NS[a]}" link set veth0 mtu 1320
	ip -n "${NS[b]}" link set veth0 mtu 1320
	nodes_make "$M57" "$@" routines=2
	iperf_serve b
	tcp_passes a
	tcp_passes a -R
	ping_sizes a
	ping_sizes b
}

@test "underlay MTU 1320 under a tunnel of 1300" {
	narrow "$M57"
}

@test "tier 6.1: underlay MTU 1320 under a tunnel of 1300" {
	NODE_ENV=(M57_TIER=6.1)
	narrow "$M57"
}

@test "underlay MTU 1320, nebula at the other end" {
	command -v "$NEBULA" >/dev/null || skip "needs nebula (scripts/install-deps)"
	narrow "$NEBULA"
}

@test "the underlay becomes narrow while a tunnel is up" {
	nodes_make "$M57" "$M57"
	iperf_serve b
	tcp_passes a
	ip -n "${NS[a]}" link set veth0 mtu 1320
	ip -n "${NS[b]}" link set veth0 mtu 1320
	tcp_passes a
	ping_sizes b
}

@test "an underlay without any offload" {
	local side
	for side in a b; do
		in_ns $side ethtool -K veth0 tx off rx off tso off gso off gro off tx-udp-segmentation off >/dev/null 2>&1 || true
	done
	nodes_make "$M57" "$M57"
	traffic
}
