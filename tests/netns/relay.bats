# Hosts that have no path to each other but through a third one: m57 and Debian's nebula in each of the
# three roles. The relay is the lighthouse too.
bats_require_minimum_version 1.5.0
load lib
. "$BATS_TEST_DIRNAME/lighthouse.bash"

setup() {
	need_machine
	NODE_ENV=()
	command -v nft >/dev/null || skip "needs nft"
	hub_make
	wall_up
}

teardown() {
	local log
	for log in "$PAIR_DIR"/?.log; do
		[ -f "$log" ] && { echo "--- ${log##*/}"; tail -n 40 "$log"; }
	done
	hub_remove
}

need_nebula() {
	command -v "$NEBULA" >/dev/null || skip "needs nebula (scripts/install-deps)"
}

# wall_up, wall_down: what a and b send to each other is lost, without a word
wall_up() {
	local side
	for side in a b; do
		in_ns $side nft -f - <<-NFT
			table ip wall {
				chain input {
					type filter hook input priority 0
					ip saddr ${UNDERLAY[$(other $side)]} drop
				}
			}
		NFT
	done
}

wall_down() {
	in_ns a nft delete table ip wall
	in_ns b nft delete table ip wall
}

# relay_net RELAY A B: programs; both ends are known to the relay when it returns
relay_net() {
	hub_start l "$1" more="relay: {am_relay: true}"
	hub_start a "$2" more="relay: {relays: [\"${OVERLAY[l]}\"]}"
	hub_start b "$3" more="relay: {relays: [\"${OVERLAY[l]}\"]}"
	wait_for 10 in_ns a ping -c 1 -W 1 -q "${OVERLAY[l]}"
	wait_for 10 in_ns b ping -c 1 -W 1 -q "${OVERLAY[l]}"
}

# through_relay RELAY A B: found, pings of all sizes, TCP both ways
through_relay() {
	relay_net "$@"
	found_within 15000 a b
	in_ns b ping -q -c 20 -i 0.01 -W 2 -s 1200 "${OVERLAY[a]}"
	in_ns a ping -q -c 5 -i 0.01 -W 2 -s 8000 "${OVERLAY[b]}"
	iperf_serve b
	tcp_passes a
	tcp_passes a -R
}

@test "all m57" {
	through_relay "$M57" "$M57" "$M57"
}

@test "relay m57, ends m57 and nebula" {
	need_nebula
	through_relay "$M57" "$M57" "$NEBULA"
}

@test "relay m57, ends nebula and m57" {
	need_nebula
	through_relay "$M57" "$NEBULA" "$M57"
}

@test "relay m57, ends nebula" {
	need_nebula
	through_relay "$M57" "$NEBULA" "$NEBULA"
}

@test "relay nebula, ends m57" {
	need_nebula
	through_relay "$NEBULA" "$M57" "$M57"
}

@test "relay nebula, ends m57 and nebula" {
	need_nebula
	through_relay "$NEBULA" "$M57" "$NEBULA"
}

@test "relay nebula, ends nebula and m57" {
	need_nebula
	through_relay "$NEBULA" "$NEBULA" "$M57"
}
