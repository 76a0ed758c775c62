# m57ctl why: each line of the page, when it is the reason.
load lib
. "$BATS_TEST_DIRNAME/ctl.bash"

@test "why names the reason: rule, route, path, certificate, last error" {
	nodes_make "$M57" "$M57"
	local rule
	rule=$(grep -n outbound "$PAIR_DIR/a.yml")
	says '^ok +route +in our network 10.42.0.1/16' why 10.42.0.2
	says '^ok +path +direct to 192.0.2.2:4242; last heard' why 10.42.0.2
	says '^ok +peer certificate +b,' why 10.42.0.2
	says "^ok +outbound +allowed by rule 1 of firewall.outbound, line ${rule%%:*}$" why 10.42.0.2 tcp 80
	says '^- +inbound +no rule of firewall.inbound' why 10.42.0.2 tcp 80
	says '^ok +inbound +allowed by rule 1 ' why 10.42.0.2 udp 5201
	says '^ok +inbound +allowed by rule 2 ' why 10.42.0.2 icmp
	says '^reachable: yes' why 10.42.0.2 icmp
	says '^reachable: no: destination in none of our networks' why 10.9.9.9
	says "host's own" why 10.42.0.1
	says '^ok +own certificate +a, valid for less than a day$' why 10.42.0.2
	says '^ok +peer certificate +b, 1 group, valid for less than a day$' why 10.42.0.2
	refuses 1 usage why 10.42.0.2 tcp
	says '^no +known addresses +no underlay address' why 10.42.0.7
	says Created create-tunnel -address 192.0.2.2:4242 10.42.0.7
	wait_for 5 says '^no +known addresses +none that can be used: 192.0.2.2:4242 .another host is there.: correct' why 10.42.0.7
	wait_for 10 says '^no +last failure .*(another host answered: b, from 192.0.2.2:4242|no underlay|no answer)' why 10.42.0.7
	says '^reachable: no' why 10.42.0.7
}

@test "why: names without an address, a gateway without the network, what failed before the tunnel" {
	local unsafe='  unsafe_routes: [{route: 172.16.0.0/16, via: 10.42.0.2}]'
	config_write a tun_extra="$unsafe"
	sed -i 's/"192.0.2.2:4242"/"no-such-host.invalid:4242"/' "$PAIR_DIR/a.yml"
	node_start a
	wait_for 5 says '^no +known addresses +none: DNS has given none for its host names in static_host_map$' why 10.42.0.2
	config_write a tun_extra="$unsafe"
	says . reload
	says Created create-tunnel 10.42.0.2
	wait_for 10 says '^no +last failure .*no answer from any known address' why 10.42.0.2
	config_write b
	node_start b
	wait_for 5 answered
	lacks 'last failure' why 10.42.0.2
	# the rules allow it, with and without a protocol, but b's certificate does not have the network
	says "^no +outbound +leaving: destination that the peer's certificate does not cover" why 172.16.3.4 icmp
	says "^no +outbound +leaving: destination that the peer's certificate does not cover" why 172.16.3.4
	says '^no +inbound +inner address' why 172.16.3.4
	says "^reachable: no: leaving: destination that the peer's certificate does not cover" why 172.16.3.4
}

@test "why: a tun device that somebody has set down, until it is up again; one that has been moved" {
	nodes_make "$M57" "$M57"
	ip -n "${NS[a]}" link set tun-a down
	wait_for 5 says '^reachable: no: tun-a is down' why 10.42.0.2
	says '^no +device +tun-a is down' why 10.42.0.2 icmp
	[ "$(grep -c 'level=warning msg="The tun device is down.*interface=tun-a' "$PAIR_DIR/a.log")" = 1 ]
	ip -n "${NS[a]}" link set tun-a up
	wait_for 5 answered
	lacks device why 10.42.0.2
	# moved, it may well be used from there
	ip -n "${NS[a]}" link set tun-a netns "${NS[b]}"
	wait_for 5 says '^reachable: unknown: device: tun-a has left' why 10.42.0.2
	grep -q 'level=warning msg="The tun device has left.*interface=tun-a' "$PAIR_DIR/a.log"
}

@test "why: a system that sends packets elsewhere than to the tun device" {
	nodes_make "$M57" "$M57"
	ip -n "${NS[a]}" route add 10.42.0.0/24 dev veth0
	says '^\? +system route +the system sends packets to 10.42.0.2 by veth0, not by tun-a' why 10.42.0.2
	says '^reachable: unknown: system route: ' why 10.42.0.2 icmp
	ip -n "${NS[a]}" route del 10.42.0.0/24 dev veth0
	lacks 'system route' why 10.42.0.2
	ip -n "${NS[a]}" addr flush dev tun-a
	says '^\? +system route +the system sends no packets to 10.42.0.2: Network is unreachable' why 10.42.0.2
}

@test "what the kernel refuses to send is counted and told" {
	nodes_make "$M57" "$M57"
	says Closed close-tunnel -local-only 10.42.0.2
	says '^reachable: unknown: tunnel: none' why 10.42.0.2
	in_ns a ip route add unreachable 192.0.2.77
	says Created create-tunnel -address 192.0.2.77:4242 10.42.0.7
	wait_for 5 says '^send_error +[1-9]' drops -interval 0
	grep -q 'msg="The kernel refused to send" error="No route to host" udpAddr="192.0.2.77:4242"' "$PAIR_DIR/a.log"
}

# answered: a ping passes, and why says so
answered() {
	in_ns a ping -c 1 -W 1 -q 10.42.0.2 && says '^reachable: yes' why 10.42.0.2
}

# refused ERROR: what a tunnel in use sends the kernel refuses, and why says so
refused() {
	in_ns a ping -c 2 -i 0.2 -W 0.2 -q 10.42.0.2 || true
	says "^no +sending +the kernel refused the last datagrams to 192.0.2.2:4242: $1 \\([0-9]+ in all, last [0-9.]+ s ago\\)\$" \
		why 10.42.0.2
	says "^reachable: no: the kernel refused the last datagrams to 192.0.2.2:4242: $1" why 10.42.0.2
	says '^ok +tunnel +live' why 10.42.0.2
}

@test "why: a kernel that refuses what the tunnel sends, until it takes it again" {
	nodes_make "$M57" "$M57"
	answered
	lacks sending why 10.42.0.2
	in_ns a nft 'table ip wall { chain out { type filter hook output priority 0; ip daddr 192.0.2.2 udp dport 4242 drop; }; }'
	refused 'Operation not permitted'
	in_ns a nft delete table ip wall
	wait_for 5 answered
	says '^- +sending +the kernel refused datagrams to 192.0.2.2:4242: .*; it took those sent since$' why 10.42.0.2
	in_ns a ip route add unreachable 192.0.2.2
	refused 'No route to host'
	in_ns a ip route del unreachable 192.0.2.2
	wait_for 5 answered
	wait_for 15 lacks sending why 10.42.0.2
	says '^reachable: yes' why 10.42.0.2
}

@test "why: a kernel that refuses handshakes" {
	config_write a
	sed -i '/^static_host_map/a\  "10.42.0.9": ["192.0.2.98:4242", "192.0.2.99:4242"]' "$PAIR_DIR/a.yml"
	in_ns a ip route add unreachable 192.0.2.98
	config_write b
	in_ns a nft 'table ip wall { chain out { type filter hook output priority 0; ip daddr 192.0.2.2 udp dport 4242 drop; }; }'
	node_start a
	node_start b
	wait_for 10 says Created create-tunnel 10.42.0.2
	wait_for 5 says '^no +sending +the kernel refused the last handshake packets to 192.0.2.2:4242: Operation not permitted \([0-9]+ in a row, last [0-9.]+ s ago\)$' why 10.42.0.2
	says '^reachable: no: the kernel refused the last handshake packets to 192.0.2.2:4242' why 10.42.0.2
	in_ns a nft delete table ip wall
	wait_for 10 answered
	# and is not held against an address that has been sent to since
	says Closed close-tunnel -local-only 10.42.0.2
	lacks 'handshake packets' why 10.42.0.2
	# the other address of a host may be the one
	says Created create-tunnel 10.42.0.9
	wait_for 5 says '^- +sending +the kernel refused the last handshake packets to 192.0.2.98:4242: No route to host' why 10.42.0.9
	lacks 'handshake packets to 192.0.2.99' why 10.42.0.9
	lacks '^reachable: no: the kernel' why 10.42.0.9
}

# new_cert SIDE [ARGUMENTS...]: another certificate for it by the same CA
new_cert() {
	local side=$1
	shift
	rm -f "$PAIR_DIR/$side.crt" "$PAIR_DIR/$side.key"
	cert_tool "$M57_CERT" sign -name "$side" -ip "${OVERLAY[$side]}/16" -groups demo "$@"
}

# silent: a ping that is not answered, and why does not call the host reachable
silent() {
	in_ns a ping -c 1 -W 0.3 -q 10.42.0.2 || true
	says '^\? +tunnel +live, .* handshake, but the host does not answer: first asked [0-9.]+ s ago$' why 10.42.0.2 &&
		says '^reachable: unknown: tunnel: live, .* does not answer' why 10.42.0.2
}

# cut PROGRAM-AT-B: a wall between the two that refuses nothing
cut() {
	nodes_make "$M57" "$1"
	answered
	in_ns b nft 'table ip wall { chain in { type filter hook prerouting priority 0; udp dport 4242 drop; };
		chain out { type filter hook postrouting priority 0; udp dport 4242 drop; }; }'
	wait_for 8 silent
	in_ns b nft delete table ip wall
	wait_for 8 answered
	says '^ok +tunnel +live' why 10.42.0.2
}

@test "why: a tunnel whose peer does not answer any more, until it does" {
	cut "$M57"
}

@test "why: a tunnel to a nebula that does not answer any more, until it does" {
	need_nebula
	cut "$NEBULA"
}

# deaf: what a sends does not come to b, but why says so
deaf() {
	says '^\? +tunnel +live, .* handshake, but the host, which is heard, does not hear us$' why 10.42.0.2 &&
		says '^reachable: unknown: tunnel: live, .* does not hear us$' why 10.42.0.2
}

@test "why: a tunnel on which only our direction is dead, until it is not" {
	nodes_make "$M57" "$M57"
	answered
	in_ns b nft 'table ip wall { chain in { type filter hook prerouting priority 0; udp dport 4242 drop; }; }'
	in_ns b ping -i 0.2 -w 20 -q 10.42.0.1 >/dev/null 3>&- &
	wait_for 15 deaf
	in_ns b nft delete table ip wall
	wait_for 8 answered
	wait_for 8 says '^ok +tunnel +live' why 10.42.0.2
}

@test "why: what is tried, who is blocked, certificates that have ended" {
	local map
	new_cert a -duration 20s
	nodes_make "$M57" "$M57"
	# the static map and its line; a handshake under way, with what it tries, its age and its attempts
	map=$(grep -n '^static_host_map' "$PAIR_DIR/a.yml")
	says "^- +static map +static_host_map, line $((${map%%:*} + 1)): 1 addresses" why 10.42.0.2
	says Created create-tunnel -address 192.0.2.99:4242 10.42.0.9
	says '^ok +known addresses +192.0.2.99:4242' why 10.42.0.9
	says '^\? +handshake +under way, begun [0-9.]+ s ago, attempt [0-9]+ of 10' why 10.42.0.9
	says '^- +inbound +depends on the peer.s certificate' why 10.42.0.9
	wait_for 10 says '^no +last failure +[0-9.]+ s ago: handshake failed: no answer from any known address' why 10.42.0.9

	# blocked: the tunnel has gone, and why is the last failure's to say
	sed -i "/^  key:/a\\  blocklist: [$("$M57_CERT" print -json -path "$PAIR_DIR/b.crt" |
		python3 -c 'import json, sys; print(json.load(sys.stdin)["fingerprint"])')]" "$PAIR_DIR/a.yml"
	says . reload
	wait_for 5 lacks 10.42.0.2 list-hostmap
	in_ns b ping -c 1 -W 1 -q 10.42.0.1 || true
	wait_for 5 says '^no +last failure .*handshake failed: .*block' why 10.42.0.2
	says '^reachable: no: .*block' why 10.42.0.2
	# and not that nobody answered, when the handshake is given up
	says Created create-tunnel 10.42.0.2
	wait_for 10 lacks 10.42.0.2 list-pending-hostmap
	says '^no +last failure .*handshake failed: .*block' why 10.42.0.2

	# trusted again, but ours has ended meanwhile: no new tunnel, and that is the answer
	sed -i '/^  blocklist:/d' "$PAIR_DIR/a.yml"
	wait_for 30 says '^no +own certificate +a: ' why 10.42.0.2
	grep -q 'msg="The certificate of this host ends soon.*certName=a secondsLeft=2$' "$PAIR_DIR/a.log"
	wait_for 5 grep -q 'level=error msg="The certificate of this host has ended.*certName=a' "$PAIR_DIR/a.log"
	says '^reachable: no: a: .*expired' why 10.42.0.2
}

@test "why: a long name of many bytes a character is cut between two, and the page is complete" {
	local name=a$(printf '𝄞%.0s' {1..40})
	rm "$PAIR_DIR/a.crt" "$PAIR_DIR/a.key"
	cert_tool "$M57_CERT" sign -name "$name" -ip "${OVERLAY[a]}/16" -duration 5s \
		-out-crt "$PAIR_DIR/a.crt" -out-key "$PAIR_DIR/a.key"
	config_write a
	node_start a
	wait_for 5 says '^ok +own certificate +a(𝄞)+\?{3}, valid for' why 10.42.0.2
	wait_for 10 says '^reachable: no: a(𝄞)+\?{3}: .*expired' why 10.42.0.2
}

@test "why: a peer whose certificate has ended, kept by pki.disconnect_invalid" {
	new_cert b -duration 5s
	config_write a
	sed -i '/^  key:/a\  disconnect_invalid: false' "$PAIR_DIR/a.yml"
	node_start a
	config_write b
	node_start b
	tunnel_wait a
	says '^ok +peer certificate +b, 1 group, valid for' why 10.42.0.2
	wait_for 10 says '^- +peer certificate +b: ' why 10.42.0.2
	says '^ok +tunnel +live' why 10.42.0.2
}
