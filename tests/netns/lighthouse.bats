# Hosts that know only a lighthouse find each other: m57 and Debian's nebula in every role.
bats_require_minimum_version 1.5.0
load lib
. "$BATS_TEST_DIRNAME/lighthouse.bash"

setup() {
	need_machine
	NODE_ENV=()
	hub_make
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

# discovery LIGHTHOUSE A B: both ways, then both hosts started anew with the lighthouse alone knowing
discovery() {
	hub_start l "$1"
	hub_start a "$2"
	hub_start b "$3"
	wait_for 10 in_ns b ping -c 1 -W 1 -q "${OVERLAY[l]}"
	wait_for 10 in_ns a ping -c 1 -W 1 -q "${OVERLAY[l]}"
	found_within 10000 a b
	node_end b
	node_start b "$3"
	wait_for 10 in_ns b ping -c 1 -W 1 -q "${OVERLAY[l]}"
	found_within 20000 b a
	in_ns a ping -q -c 20 -i 0.01 -W 2 "${OVERLAY[b]}"
	node_alive l && node_alive a && node_alive b
}

@test "lighthouse m57, hosts m57 and m57" {
	discovery "$M57" "$M57" "$M57"
}

@test "lighthouse nebula, hosts m57 and m57" {
	need_nebula
	discovery "$NEBULA" "$M57" "$M57"
}

@test "lighthouse nebula, hosts m57 and nebula" {
	need_nebula
	discovery "$NEBULA" "$M57" "$NEBULA"
}

@test "lighthouse nebula, hosts nebula and m57" {
	need_nebula
	discovery "$NEBULA" "$NEBULA" "$M57"
}

@test "lighthouse m57, hosts nebula and nebula" {
	need_nebula
	discovery "$M57" "$NEBULA" "$NEBULA"
}

@test "lighthouse m57, hosts m57 and nebula" {
	need_nebula
	discovery "$M57" "$M57" "$NEBULA"
}

@test "lighthouse m57, hosts nebula and m57" {
	need_nebula
	discovery "$M57" "$NEBULA" "$M57"
}
