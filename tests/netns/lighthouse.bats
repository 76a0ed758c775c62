# Hosts that know only a lighthouse find each other: m57 and Debian's nebula in every role.
bats_require_minimum_version 1.5.0
load lib
. "$BATS_TEST_DIRNAME/lighthouse.bash"

setup() {
	need_machine
	NODE_ENV=()
	hub_make
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

# --- NATs: each host behind a router of its own, which lets in only answers

# nat_make SIDE NET: SIDE has NET.2 behind a router that masquerades as SIDE's underlay address
nat_make() {
	local side=$1 net=$2 router=r$1
	namespaces_add "$router"
	ip -n "${NS[$side]}" link del veth0
	ip -n "${NS[$side]}" link add veth0 type veth peer name inside netns "${NS[$router]}"
	ip -n "${NS[$side]}" addr add "$net.2/24" dev veth0
	ip -n "${NS[$side]}" link set veth0 up
	hub_join "$router" s switch
	ip -n "${NS[$router]}" addr add "${UNDERLAY[$side]}/24" dev veth0
	ip -n "${NS[$router]}" addr add "$net.1/24" dev inside
	ip -n "${NS[$router]}" link set inside up
	ip -n "${NS[$side]}" route add default via "$net.1"
	in_ns "$router" sysctl -q -w net.ipv4.ip_forward=1
	in_ns "$router" nft -f - <<-NFT
		table ip nat {
			chain post {
				type nat hook postrouting priority 100
				oifname "veth0" masquerade
			}
		}
		table ip filter {
			chain forward {
				type filter hook forward priority 0
				iifname "veth0" ct state new drop
			}
			chain input {
				type filter hook input priority 0
				iifname "veth0" ct state new drop
			}
		}
	NFT
}

# through_nats LIGHTHOUSE A B
through_nats() {
	command -v nft >/dev/null || skip "needs nft"
	nat_make a 10.1.1
	nat_make b 10.1.2
	hub_start l "$1"
	hub_start a "$2"
	hub_start b "$3"
	wait_for 10 in_ns b ping -c 1 -W 1 -q "${OVERLAY[l]}"
	wait_for 10 in_ns a ping -c 1 -W 1 -q "${OVERLAY[l]}"
	found_within 15000 a b
	in_ns b ping -q -c 20 -i 0.01 -W 2 "${OVERLAY[a]}"
}

@test "two NATs, m57 alone" {
	through_nats "$M57" "$M57" "$M57"
}

@test "two NATs, lighthouse nebula, hosts m57 and nebula" {
	need_nebula
	through_nats "$NEBULA" "$M57" "$NEBULA"
}

@test "two NATs, lighthouse m57, hosts nebula and m57" {
	need_nebula
	through_nats "$M57" "$NEBULA" "$M57"
}

# --- what changes

@test "a restarted lighthouse knows its hosts again" {
	hub_start l "$M57"
	hub_start a "$M57"
	hub_start b "$M57"
	wait_for 10 in_ns b ping -c 1 -W 1 -q "${OVERLAY[l]}"
	node_end l KILL || true
	node_start l "$M57"
	# after the next update of each, 5 s at most
	wait_for 10 in_ns b ping -c 1 -W 1 -q "${OVERLAY[l]}"
	found_within 15000 a b
}

@test "the address of a host changes: the lighthouse hands out the new one" {
	hub_start l "$M57"
	hub_start a "$M57"
	hub_start b "$M57"
	wait_for 10 in_ns b ping -c 1 -W 1 -q "${OVERLAY[l]}"
	ip -n "${NS[b]}" addr del 192.0.2.2/24 dev veth0
	ip -n "${NS[b]}" addr add 192.0.2.77/24 dev veth0
	wait_for 10 in_ns b ping -c 1 -W 1 -q "${OVERLAY[l]}"
	found_within 10000 a b
	grep -q 'udpAddr.*192.0.2.77:4242' "${NODE_LOG[a]}"
}

@test "a silent host moves: others reach it before it says a word" {
	hub_start l "$M57"
	hub_start a "$M57"
	hub_start b "$M57"
	wait_for 10 in_ns b ping -c 1 -W 1 -q "${OVERLAY[l]}"
	found_within 10000 a b
	ip -n "${NS[b]}" addr del 192.0.2.2/24 dev veth0
	ip -n "${NS[b]}" addr add 192.0.2.77/24 dev veth0
	found_within 2000 a b
}

@test "lists of addresses: what may not be used is not" {
	hub_start l "$M57"
	# an address that cannot be reached is advertised; b's own interface is not
	hub_start b "$M57" lighthouse='  advertise_addrs: ["198.51.100.7:0"]
  local_allow_list: {interfaces: {"veth.*": false}}'
	hub_start a "$M57" lighthouse='  remote_allow_list: {198.51.100.0/24: false}'
	wait_for 10 in_ns b ping -c 1 -W 1 -q "${OVERLAY[l]}"
	# the lighthouse has learned where b is all the same
	found_within 10000 a b
	run ! grep -q '198.51.100.7' "${NODE_LOG[a]}"
}

@test "calculated remotes need no lighthouse" {
	hub_config a more='preferred_ranges: [192.0.2.0/24]' \
		lighthouse='  calculated_remotes: {10.42.0.0/24: [{mask: 192.0.2.0/24, port: 4242}]}'
	node_start a "$M57"
	hub_start b "$M57"
	found_within 10000 a b
}

# Most machines have both families, and listen.host is 0.0.0.0 unless somebody says otherwise.
@test "IPv6 addresses beside IPv4 sockets trouble nobody" {
	need_nebula
	local side
	for side in a b; do
		ip -n "${NS[$side]}" addr add "2001:db8::${OVERLAY[$side]##*.}/64" dev veth0 nodad
	done
	hub_start l "$M57"
	hub_start a "$M57"
	hub_start b "$NEBULA"
	wait_for 10 in_ns b ping -c 1 -W 1 -q "${OVERLAY[l]}"
	wait_for 10 in_ns a ping -c 1 -W 1 -q "${OVERLAY[l]}"
	# stock nodes tell what nobody can use, m57 does not
	run "$B/m57ctl" -socket "$PAIR_DIR/l.sock" list-lighthouse-addrmap
	echo "$output"
	[[ $output == *"[2001:db8::2]:4242"* && $output != *"[2001:db8::1]"* ]]
	found_within 10000 a b
	"$B/m57ctl" -socket "$PAIR_DIR/a.sock" close-tunnel "${OVERLAY[b]}"
	found_within 10000 a b
	[ "$(grep -c "IPv6 addresses of peers are not used" "$PAIR_DIR/a.log")" = 1 ]
	run ! grep "kernel refused" "$PAIR_DIR/a.log"
	run "$B/m57ctl" -socket "$PAIR_DIR/a.sock" drops
	echo "$output"
	[[ $output != *send_error* ]]
}

# As since release 1.10; before, Nebula did not start.
@test "a lighthouse in a network of its own" {
	OVERLAY[l]=10.99.0.9
	rm "$PAIR_DIR"/l.crt "$PAIR_DIR"/l.key
	cert_tool "$M57_CERT" sign -name l -ip 10.99.0.9/16 -groups demo
	hub_start l "$M57"
	hub_start a "$M57"
	hub_start b "$M57"
	wait_for 10 has_tunnel l b
	found_within 10000 a b
	grep -q 'warning: static_host_map: 10.99.0.9 is not in the networks' "$PAIR_DIR/a.log"
}
