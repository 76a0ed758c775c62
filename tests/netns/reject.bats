# firewall.inbound_action and outbound_action: reject: what real programs on real TCP stacks are told.
bats_require_minimum_version 1.5.0
load lib

# node SIDE PROGRAM [LINE...]: LINEs go under firewall:; an outbound: line replaces the one there is.
node() {
	local side=$1 program=$2 line
	shift 2
	if [ "$program" = "$M57" ]; then config_write "$side"; else config_write "$side" routines=1; fi
	for line in "$@"; do
		[[ $line != outbound:* ]] || sed -i '/^  outbound:/d' "$PAIR_DIR/$side.yml"
		sed -i "s/^firewall:/&\n  $line/" "$PAIR_DIR/$side.yml"
	done
	node_start "$side" "$program"
	wait_for 5 device_is_up "$side"
}

device_is_up() {
	in_ns "$1" ip -o link show "tun-$1" | grep -q LOWER_UP
}

# told FROM PROTOCOL ADDRESS PORT WHAT
told() {
	local said
	said=$(in_ns "$1" timeout 20 python3 "$BATS_TEST_DIRNAME/connect.py" "$2" "$3" "$4" 3>&-)
	echo "$1 to $2 $3 $4: $said, expected $5"
	[ "$said" = "$5" ]
}

# counted SIDE NAME: a counter of the node on SIDE is in its log, and not 0
counted() {
	kill -USR1 "${NODE_PID[$1]}"
	wait_for 5 grep -q "$2=[1-9]" "${NODE_LOG[$1]}"
}

ONLY_PING="outbound: [{port: any, proto: icmp, host: any}]"

@test "inbound_action: reject answers the peer, and only that way" {
	node a "$M57"
	node b "$M57" "inbound_action: reject"
	told a tcp "${OVERLAY[b]}" 9999 ECONNREFUSED
	told a udp "${OVERLAY[b]}" 9999 EHOSTUNREACH
	told b tcp "${OVERLAY[a]}" 9999 silence
	told b udp "${OVERLAY[a]}" 9999 silence
	counted b rejects_sent
	ping_overlay a
	node_alive a && node_alive b
}

@test "outbound_action: reject answers local programs, before there is a tunnel and after" {
	node a "$M57" "outbound_action: reject" "$ONLY_PING"
	node b "$M57"
	told a tcp "${OVERLAY[b]}" 5201 ECONNREFUSED
	tunnel_wait a
	told a tcp "${OVERLAY[b]}" 5201 ECONNREFUSED
	told a udp "${OVERLAY[b]}" 5201 EHOSTUNREACH
	counted a rejects_sent
	node_alive a && node_alive b
}

@test "what no route leads to a tunnel for is answered too" {
	node a "$M57" "outbound_action: reject"
	ip -n "${NS[a]}" route add 10.99.0.0/16 dev tun-a
	told a tcp 10.99.0.1 80 ECONNREFUSED
	told a udp 10.99.0.1 80 EHOSTUNREACH
}

@test "the peer's answer comes past an outbound firewall that lets nothing out" {
	node a "$M57"
	node b "$M57" "inbound_action: reject" "$ONLY_PING"
	told a tcp "${OVERLAY[b]}" 9999 ECONNREFUSED
	told a udp "${OVERLAY[b]}" 9999 EHOSTUNREACH
}

@test "a connection that new rules forbid ends with a RST in its window" {
	node a "$M57"
	node b "$M57"
	tunnel_wait a
	iperf_serve b
	in_ns a timeout 50 python3 "$BATS_TEST_DIRNAME/connect.py" tcp "${OVERLAY[b]}" 5201 "$PAIR_DIR/go" \
		>"$PAIR_DIR/said" </dev/null 3>&- &
	wait_for 5 grep -q connected "$PAIR_DIR/said"
	node_end a
	node a "$M57" "outbound_action: reject" "$ONLY_PING"
	tunnel_wait a
	touch "$PAIR_DIR/go"
	wait_for 10 grep -q -v connected "$PAIR_DIR/said"
	cat "$PAIR_DIR/said"
	[ "$(tail -n 1 "$PAIR_DIR/said")" = ECONNRESET ]
}

@test "nebula takes our answers to its host" {
	command -v "$NEBULA" >/dev/null || skip "needs nebula (scripts/install-deps)"
	node a "$NEBULA"
	node b "$M57" "inbound_action: reject"
	tunnel_wait a
	told a tcp "${OVERLAY[b]}" 9999 ECONNREFUSED
	told a udp "${OVERLAY[b]}" 9999 EHOSTUNREACH
	counted b rejects_sent
	node_alive a && node_alive b
}

@test "with nebula at the other end local programs are answered" {
	command -v "$NEBULA" >/dev/null || skip "needs nebula (scripts/install-deps)"
	node a "$M57" "outbound_action: reject" "$ONLY_PING"
	node b "$NEBULA"
	tunnel_wait a
	told a tcp "${OVERLAY[b]}" 5201 ECONNREFUSED
	told a udp "${OVERLAY[b]}" 5201 EHOSTUNREACH
}
