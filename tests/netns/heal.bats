# Peers that vanish, come back without a word, paths that die: the surviving m57 finds out by itself.
# Nobody sends recv_error here. Each test prints the time it took; what is asserted is a bounded wait.
bats_require_minimum_version 1.5.0
load lib

MUTE="  send_recv_error: never"
LIMIT=8 # seconds; 3 are promised on a machine that is not loaded

now_ms() {
	echo $((${EPOCHREALTIME/./} / 1000))
}

# healed FROM WHAT: pings 10 times a second until an answer comes; prints how long that took
healed() {
	local start took
	start=$(now_ms)
	ip netns exec "${NS[$1]}" ping -q -i 0.1 -w $LIMIT "${OVERLAY[$(other "$1")]}" \
		>"$PAIR_DIR/heal-ping" 2>&1 3>&- &
	local ping=$!
	wait_for $LIMIT answered "$1" || { echo "$2: no answer in $LIMIT s"; return 1; }
	took=$(($(now_ms) - start))
	kill "$ping" 2>/dev/null || true
	wait "$ping" 2>/dev/null || true
	echo "# $2: $took ms" >&3
}

received() {
	in_ns "$1" cat "/sys/class/net/tun-$1/statistics/rx_packets"
}

answered() {
	[ "$(received "$1")" != "$BEFORE" ]
}

active() {
	[ "$(grep -c "Nebula interface is active\|Nebula interface active" "$PAIR_DIR/$1.log")" -ge "$2" ]
}

up() {
	in_ns "$1" test -e "/sys/class/net/tun-$1/flags"
}

# comes_back GONE PROGRAM STAYS: traffic flows while the peer is killed and started again
comes_back() {
	node_end "$1" KILL || true
	wait_for 3 process_ended "${NODE_PID[$1]:-0}" || true
	node_start "$1" "$2"
	wait_for 5 up "$1"
	BEFORE=$(received "$3")
	healed "$3" "$1 restarted, $3 stayed"
}

restart_pair() {
	nodes_make "$@" listen_extra="$MUTE"
	ping_overlay b
	comes_back b "$2" a
	sleep 1
	comes_back b "$2" a
	[ "$1" = "$2" ] || return 0
	sleep 1
	comes_back a "$1" b
}

@test "m57 and m57, kill -9 without recv_error" {
	restart_pair "$M57" "$M57"
	! grep -q "Close tunnel" "$PAIR_DIR/a.log"
}

@test "m57 and nebula, kill -9 of nebula without recv_error" {
	command -v "$NEBULA" >/dev/null || skip "needs nebula (scripts/install-deps)"
	restart_pair "$M57" "$NEBULA"
}

@test "nebula and m57, kill -9 of nebula, which had begun the tunnel" {
	command -v "$NEBULA" >/dev/null || skip "needs nebula (scripts/install-deps)"
	nodes_make "$NEBULA" "$M57" listen_extra="$MUTE"
	comes_back a "$NEBULA" b
}

# cut SECONDS: traffic goes on while the cable is out
cut() {
	ip netns exec "${NS[a]}" ping -q -i 0.2 -w $(($1 + 1)) "${OVERLAY[b]}" >/dev/null 2>&1 3>&- &
	local load=$!
	ip -n "${NS[b]}" link set veth0 down
	sleep "$1"
	kill "$load" 2>/dev/null || true
	wait "$load" 2>/dev/null || true
	ip -n "${NS[b]}" link set veth0 up
	BEFORE=$(received a)
	healed a "cable out for $1 s"
	BEFORE=$(received b)
	healed b "the other way"
}

@test "m57 and m57, cable out and in again" {
	nodes_make "$M57" "$M57" listen_extra="$MUTE"
	cut 2
	cut 14 # both have given the tunnel up
	grep -q "tunnelCheck=dead" "$PAIR_DIR/a.log"
}

@test "m57 and nebula, cable out and in again" {
	command -v "$NEBULA" >/dev/null || skip "needs nebula (scripts/install-deps)"
	nodes_make "$M57" "$NEBULA" listen_extra="$MUTE"
	cut 3
}

sent() {
	in_ns a cat "/sys/class/net/$1/statistics/tx_packets"
}

@test "the path in use dies, the peer has another address" {
	local side
	ip -n "${NS[a]}" link add veth1 type veth peer name veth1 netns "${NS[b]}"
	for side in a b; do
		ip -n "${NS[$side]}" addr add "198.51.100.$([ $side = a ] && echo 1 || echo 2)/24" dev veth1
		ip -n "${NS[$side]}" link set veth1 up
		config_write $side listen_extra="$MUTE"
	done
	sed -i 's/\["192.0.2.2:4242"\]/["192.0.2.2:4242", "198.51.100.2:4242"]/' "$PAIR_DIR/a.yml"
	node_start a
	node_start b
	tunnel_wait a
	in_ns a ping -q -c 50 -i 0.01 "${OVERLAY[b]}"
	local gone=veth1
	[ "$(sent veth0)" -lt "$(sent veth1)" ] || gone=veth0
	ip -n "${NS[b]}" link set $gone down
	BEFORE=$(received a)
	healed a "$gone died"
}

# wakes PID: voluntary context switches of all threads
wakes() {
	cat /proc/"$1"/task/*/status | awk '/^voluntary_ctxt/ { sum += $2 } END { print sum }'
}

@test "an idle node with 10 quiet tunnels wakes at most twice a second" {
	local i hosts="" before after
	for i in 1 2 3 4 5 6 7 8 9 10; do
		cert_tool "$M57_CERT" sign -name "p$i" -ip "10.42.1.$i/16" -groups demo
		hosts+="  \"10.42.1.$i\": [\"${UNDERLAY[b]}:$((4300 + i))\"]"$'\n'
		config_write b routines=1
		sed -e "s/port: 4242\$/port: $((4300 + i))/" -e "s|/b\.|/p$i.|" -e "s/dev: tun-b/disabled: true/" \
			"$PAIR_DIR/b.yml" >"$PAIR_DIR/p$i.yml"
		in_ns b "$M57" -config "$PAIR_DIR/p$i.yml" >"$PAIR_DIR/p$i.out" 2>&1 </dev/null 3>&- &
	done
	config_write a
	awk -v hosts="$hosts" '{ print } /^static_host_map:/ { printf "%s", hosts }' "$PAIR_DIR/a.yml" >"$PAIR_DIR/a2.yml"
	mv "$PAIR_DIR/a2.yml" "$PAIR_DIR/a.yml"
	node_start a
	for i in 1 2 3 4 5 6 7 8 9 10; do
		wait_for 10 in_ns a ping -c 1 -W 1 -q "10.42.1.$i"
	done
	sleep 7
	before=$(wakes "${NODE_PID[a]}")
	sleep 10
	after=$(wakes "${NODE_PID[a]}")
	echo "# $((after - before)) wake-ups in 10 s" >&3
	[ $((after - before)) -le 20 ]
	[ "$(grep -c "Handshake message received" "$PAIR_DIR/a.log")" = 10 ]
}
