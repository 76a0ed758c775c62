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

ctl() {
	"$B/m57ctl" -socket "$PAIR_DIR/$1.sock" "${@:2}"
}

# received QUEUE: datagrams that this worker of the relay has had
received() {
	ctl l -json queues | python3 -c '
import json, sys
print(json.load(sys.stdin)[int(sys.argv[1])]["udp_received_packets"])' "$1"
}

# refused_at SIDE FROM TO: a ping of FROM is lost, and why names the address of SIDE
refused_at() {
	in_ns "$2" ping -c 2 -i 0.2 -W 0.2 -q "${OVERLAY[$3]}" || true
	ctl "$2" why "${OVERLAY[$3]}" >"$PAIR_DIR/why"
	cat "$PAIR_DIR/why"
	grep -qE "^no +sending .* to ${UNDERLAY[$1]}:4242: Operation not permitted" "$PAIR_DIR/why"
}

@test "why: a kernel that refuses what goes to the relay" {
	relay_net "$M57" "$M57" "$M57"
	found_within 15000 a b
	in_ns a nft "table ip refuse { chain out { type filter hook output priority 0; ip daddr ${UNDERLAY[l]} udp dport 4242 drop; }; }"
	refused_at l a b
	in_ns a nft delete table ip refuse
	in_ns a ping -c 3 -i 0.2 -W 1 -q "${OVERLAY[b]}"
	ctl a why "${OVERLAY[b]}" | grep -q '^reachable: yes'
}

@test "a relay keeps sparse flows apart from the others too" {
	local bulk sparse
	relay_net "$M57" "$M57" "$M57"
	found_within 15000 a b
	iperf_serve b
	in_ns a ping -q -c 1 -W 2 "${OVERLAY[b]}"
	bulk=$(received 0) sparse=$(received 1)
	in_ns a ping -q -c 50 -i 0.01 -W 2 "${OVERLAY[b]}"
	[ $(($(received 1) - sparse)) -ge 100 ]
	[ $(($(received 0) - bulk)) -lt 50 ] # tests of tunnels, and the lighthouse's
	sparse=$(received 1)
	tcp_passes a
	[ $(($(received 0) - bulk)) -ge 5000 ]
	[ $(($(received 1) - sparse)) -lt 500 ]
}

@test "all m57" {
	through_relay "$M57" "$M57" "$M57"
	ctl a list-hostmap | grep -Eq '^.10.42.0.2. +relay 10.42.0.9 +live'
	ctl a why 10.42.0.2 icmp | tee "$PAIR_DIR/why" | grep -q 'through the relay 10.42.0.9'
	grep -Eq 'relay +10.42.0.9, with a tunnel; established' "$PAIR_DIR/why"
	ctl a print-relays | grep -Eq '^10.42.0.9 +terminal +established +10.42.0.2 '
	ctl l why 10.42.0.2 | grep -Eq 'relay +10.42.0.9, this host itself$'
	ctl l print-relays >"$PAIR_DIR/relays"
	grep -Eq '^10.42.0.1 +forwarding +established +10.42.0.2 .* yes *$' "$PAIR_DIR/relays"
	grep -Eq '^10.42.0.2 +forwarding +established +10.42.0.1 .* yes *$' "$PAIR_DIR/relays"
	local side
	for side in a b; do
		[ "$(grep -c "msg=\"Relay established\" relay=10.42.0.9 vpnAddr=${OVERLAY[$(other $side)]}$" \
			"$PAIR_DIR/$side.log")" = 1 ]
		grep -q "msg=\"Relaying between two hosts\" peer=${OVERLAY[$(other $side)]} vpnAddr=${OVERLAY[$side]}$" \
			"$PAIR_DIR/l.log"
	done
	# what is sent on is never copied
	ctl l counters >"$PAIR_DIR/counters"
	awk '$1 == "relay_forwarded_packets" { n = $2 } END { exit n < 1000 }' "$PAIR_DIR/counters"
	run ! grep copied_bytes "$PAIR_DIR/counters"
}

# perf/relay_load measures with them
@test "frames of two bare ends" {
	hub_start l "$M57" more="relay: {am_relay: true}"
	wait_for 5 in_ns l test -e /sys/class/net/tun-l/flags
	in_ns a "$B/perf/relay_load" "${UNDERLAY[l]}" 4242 "$PAIR_DIR" --seconds 1 --window 96 >"$PAIR_DIR/frames"
	read -r _ _ _ _ _ frames _ lost _ wrong _ <"$PAIR_DIR/frames"
	[ "$frames" -ge 96 ]
	[ "$lost $wrong" = "0 0" ]
	ctl l counters >"$PAIR_DIR/counters"
	[ "$(awk '$1 == "relay_forwarded_packets" { print $2 }' "$PAIR_DIR/counters")" = "$frames" ]
	run ! grep copied_bytes "$PAIR_DIR/counters"
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

# --- what changes

# paced TO: pings in the background, 20 a second
paced() {
	in_ns a ping -D -i 0.05 -W 1 "${OVERLAY[$1]}" >"$PAIR_DIR/pings" 2>&1 </dev/null 3>&- &
	PINGS=$!
	wait_for 5 answers 3
}

# answers N: so many pings have been answered
answers() {
	[ "$(grep -c time= "$PAIR_DIR/pings")" -ge "$1" ]
}

# paced_goes_on: three more are answered, within 10 s
paced_goes_on() {
	wait_for 10 answers $(($(grep -c time= "$PAIR_DIR/pings") + 3))
}

# gap: seconds without an answer, the longest
paced_gap() {
	kill -INT "$PINGS" && wait "$PINGS" || true
	awk -F'[][]' '/time=/ { if (last && $2 - last > most) most = $2 - last; last = $2 }
		END { print most + 0 }' "$PAIR_DIR/pings"
}

is_direct() {
	ctl "$1" list-hostmap | grep -Eq "^.${OVERLAY[$2]//./\\.}. +${UNDERLAY[$2]//./\\.}:4242"
}

# path_opens RELAY A B: from the relay to a direct path
path_opens() {
	local start
	relay_net "$@"
	found_within 15000 a b
	paced b
	wall_down
	start=$(milliseconds)
	wait_for 8 is_direct a b
	paced_goes_on
	echo "# direct after $(($(milliseconds) - start)) ms; longest gap $(paced_gap) s" >&3
	# and it is used: nothing passes the relay any more
	node_end l KILL || true
	in_ns a ping -q -c 5 -i 0.01 -W 1 "${OVERLAY[b]}"
}

@test "a path opens: m57 alone" {
	path_opens "$M57" "$M57" "$M57"
}

@test "a path opens: nebula at the other end" {
	need_nebula
	path_opens "$M57" "$M57" "$NEBULA"
}

@test "the relay restarts" {
	relay_net "$M57" "$M57" "$M57"
	found_within 15000 a b
	paced b
	node_end l KILL || true
	node_start l "$M57"
	paced_goes_on
	echo "# longest gap $(paced_gap) s" >&3
	in_ns a ping -q -c 20 -i 0.01 -W 2 "${OVERLAY[b]}"
}

@test "the relay restarts: nebula" {
	need_nebula
	relay_net "$NEBULA" "$M57" "$M57"
	found_within 15000 a b
	paced b
	node_end l KILL || true
	node_start l "$NEBULA"
	paced_goes_on
	echo "# longest gap $(paced_gap) s" >&3
	in_ns a ping -q -c 20 -i 0.01 -W 2 "${OVERLAY[b]}"
}

# 1.6.1 acts on the fourth recv_error for a tunnel, and what it says to a relay of its own accord are
# its updates: the relay answers the first four times, the second begins a handshake.
@test "the relay restarts: nebula at one end" {
	local INTERVAL=2
	need_nebula
	relay_net "$M57" "$M57" "$NEBULA"
	found_within 15000 a b
	paced b
	node_end l KILL || true
	node_start l "$M57"
	wait_for 7 answers $(($(grep -c time= "$PAIR_DIR/pings") + 3))
	echo "# longest gap $(paced_gap) s" >&3
	in_ns a ping -q -c 20 -i 0.01 -W 2 "${OVERLAY[b]}"
}

@test "one of two relays dies" {
	local used relays
	UNDERLAY[ra]=192.0.2.8
	OVERLAY[ra]=10.42.0.8
	namespaces_add ra
	hub_join ra s switch
	ip -n "${NS[ra]}" addr add 192.0.2.8/24 dev veth0
	cert_tool "$M57_CERT" sign -name ra -ip 10.42.0.8/16 -groups demo >/dev/null
	relays="relay: {relays: [10.42.0.9, 10.42.0.8]}"
	hub_start l "$M57" more="relay: {am_relay: true}"
	hub_start ra "$M57" more="relay: {am_relay: true}"
	wait_for 10 in_ns ra ping -c 1 -W 1 -q "${OVERLAY[l]}"
	hub_start a "$M57" more="$relays"
	hub_start b "$M57" more="$relays"
	wait_for 10 in_ns b ping -c 1 -W 1 -q "${OVERLAY[l]}"
	found_within 15000 a b
	paced b
	wait_for 5 both_relays_known
	used=$(ctl a list-hostmap | awk '$1 == "[10.42.0.2]" { print $3 }')
	[ "$used" = 10.42.0.8 ] && node_end ra KILL || [ "$used" = 10.42.0.8 ] || node_end l KILL || true
	paced_goes_on
	echo "# longest gap $(paced_gap) s" >&3
	ctl a list-hostmap | grep '^.10.42.0.2' | grep -v "relay $used "
}

both_relays_known() {
	[ "$(ctl a print-relays | grep -c 'terminal  *established  *10.42.0.2 ')" = 2 ]
}

# retold SIDE YAML: relay.* of SIDE by a reload
retold() {
	sed -i "s|^relay: .*|relay: $2|" "$PAIR_DIR/$1.yml"
	ctl "$1" reload
}

# reported SIDE RELAYS: what the lighthouse has of SIDE's relays, as JSON prints them
reported() {
	[ "$(ctl l -json list-lighthouse-addrmap | python3 -c '
import json, sys
for host in json.load(sys.stdin):
    if host["vpnAddr"] == sys.argv[1]:
        for owner, words in host["addrMap"].items():
            print(*words["relay"], end="")' "${OVERLAY[$1]}")" = "$2" ]
}

# relay_is_said PATTERN: what why says on a about the relay of b
relay_is_said() {
	ctl a why "${OVERLAY[b]}" >"$PAIR_DIR/why"
	cat "$PAIR_DIR/why"
	grep -q "^- *relay .*$1" "$PAIR_DIR/why"
}

@test "relay.* follow a reload" {
	hub_start l "$M57" more="relay: {am_relay: false}"
	hub_start a "$M57" more="relay: {relays: [], use_relays: true}"
	hub_start b "$M57" more="relay: {relays: [\"${OVERLAY[l]}\"]}"
	wait_for 10 in_ns a ping -c 1 -W 1 -q "${OVERLAY[l]}"
	wait_for 10 in_ns b ping -c 1 -W 1 -q "${OVERLAY[l]}"
	wait_for 6 reported b "${OVERLAY[l]}"
	run ! in_ns a ping -c 1 -W 1 -q "${OVERLAY[b]}"
	ctl l drops -interval 0 | grep -q '^relay_refused '

	retold l '{am_relay: true}'
	found_within 15000 a b

	# relays that others have are not used any more, once the tunnel is closed
	retold a '{use_relays: false}'
	relay_is_said 'established$'
	ctl a close-tunnel "${OVERLAY[b]}"
	run ! in_ns a ping -c 1 -W 1 -q "${OVERLAY[b]}"
	relay_is_said 'relays are not used here: relay.use_relays)$'
	retold a '{am_relay: true}'
	run ! in_ns a ping -c 1 -W 1 -q "${OVERLAY[b]}"
	relay_is_said 'relays are not used here: relay.am_relay)$'
	retold a '{use_relays: true}'
	found_within 15000 a b

	# it relays no more: what goes through it stops
	retold l '{am_relay: false}'
	wait_for 5 no_answer
	retold l '{am_relay: true}'
	found_within 15000 a b

	# the lighthouse is told at once, not by the next report
	retold b '{relays: []}'
	wait_for 2 reported b ""
	retold b '{relays: ["10.42.0.9"]}'
	wait_for 2 reported b "${OVERLAY[l]}"
}

no_answer() {
	! in_ns a ping -c 1 -W 0.3 -q "${OVERLAY[b]}"
}
