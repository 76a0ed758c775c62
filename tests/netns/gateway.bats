# Networks behind other nodes: tun.unsafe_routes and what the system's route table says, traffic to a
# host that is no node, both ways and with Debian's nebula at either end.
bats_require_minimum_version 1.5.0
load lib
load gateway.bash

setup() {
	need_machine
	NODE_ENV=()
	gateway_net_make
}

VIA_G="  unsafe_routes: [{route: $BEHIND, via: ${OVERLAY[g]}, mtu: 1250, metric: 77}]"
VIA_BOTH="  unsafe_routes: [{route: $BEHIND, via: [{gateway: ${OVERLAY[g]}, weight: 1}, {gateway: ${OVERLAY[h]}, weight: 1}]}]"

@test "a host behind an m57 gateway, both ways; MTU, metric, and the end" {
	node a "$M57" routes="$VIA_G"
	node g "$M57"
	wait_for 10 reaches a "$HOST"
	passes_both_ways
	in_ns a ip route show $BEHIND | grep -q 'dev tun-a .*metric 77 mtu 1250 advmss 1210'
	in_ns a ip route get $HOST | grep -q 'mtu 1250'
	iperf_serve n || true
	in_ns a python3 - "$HOST" <<-'PY'
		import socket, sys
		s = socket.create_connection((sys.argv[1], 5201), 5)
		print("maxseg", s.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG))
		assert s.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) <= 1210
	PY
	ctl a why "$HOST" tcp 5201 | grep -q "$BEHIND is behind the gateway ${OVERLAY[g]}"
	node_end a
	wait_for 3 route_is_gone # the rings of a process outlive it by about 100 ms
}

route_is_gone() {
	! in_ns a ip route show | grep -q $BEHIND
}

a_log_has() {
	grep -q "$1" "$PAIR_DIR/a.log"
}

@test "a tun that somebody sets down and up has its routes back; what he removes from one that is up stays away" {
	node a "$M57" routes="$VIA_G"
	node g "$M57"
	wait_for 10 reaches a "$HOST"
	ip -n "${NS[a]}" route del $BEHIND
	ip -n "${NS[a]}" link set tun-a mtu 1290
	ctl a status >/dev/null # control has had both
	route_is_gone
	run ! a_log_has 'came up again'
	ip -n "${NS[a]}" link set tun-a down
	ip -n "${NS[a]}" link set tun-a up
	wait_for 5 a_log_has 'level=info msg="The tun device came up again.*interface=tun-a'
	in_ns a ip route show $BEHIND | grep -q 'dev tun-a .*metric 77 mtu 1250 advmss 1210'
	in_ns a ip route show 10.42.0.0/16 | grep -q 'dev tun-a .*src 10.42.0.1'
	[ "$(in_ns a cat /sys/class/net/tun-a/mtu)" = 1300 ]
	wait_for 10 reaches a "$HOST"
}

@test "of a tun that came up again, what the kernel refuses is one warning, and the rest is back" {
	node a "$M57" routes="  unsafe_routes: [{route: 'fd99::/48', via: ${OVERLAY[g]}}, {route: $BEHIND, via: ${OVERLAY[g]}}]"
	node g "$M57"
	wait_for 10 reaches a "$HOST"
	in_ns a sysctl -q -w net.ipv6.conf.tun-a.disable_ipv6=1
	ip -n "${NS[a]}" link set tun-a down
	ip -n "${NS[a]}" link set tun-a up
	wait_for 5 a_log_has 'level=warning msg="The tun device came up again.*fd99::/48.*denied'
	wait_for 10 reaches a "$HOST"
	in_ns a sysctl -q -w net.ipv6.conf.tun-a.disable_ipv6=0
	ctl a reload # tries again
	in_ns a ip -6 route show dev tun-a | grep -q '^fd99::/48'
	[ "$(grep -c 'came up again' "$PAIR_DIR/a.log")" = 1 ]
}

@test "nebula is the gateway" {
	need_nebula
	node a "$M57" routes="$VIA_G"
	node g "$NEBULA"
	wait_for 10 reaches a "$HOST"
	passes_both_ways
}

@test "nebula is the client" {
	need_nebula
	node a "$NEBULA" routes="$VIA_G"
	node g "$M57"
	wait_for 10 reaches a "$HOST"
	passes_both_ways
}

@test "the routed network is open only to rules with local_cidr, or by default_local_cidr_any" {
	local rule="{port: any, proto: any, host: any}"
	node a "$M57" routes="$VIA_G"
	node g "$M57" rule="$rule"
	wait_for 10 reaches a "${OVERLAY[g]}"
	run ! reaches a "$HOST"
	counted g firewall_no_rule
	node_end g
	node g "$M57" rule="$rule" firewall="  default_local_cidr_any: true"
	wait_for 10 reaches a "$HOST"
	node_end g
	node g "$M57" rule="{port: any, proto: any, host: any, local_cidr: 172.16.7.8/31}"
	wait_for 10 reaches a "$HOST"
	run ! reaches a 172.16.7.7
}

# sends_on: packets to the host behind the gateway, 5,000 a second, until the file go is gone; how many
# the kernel had no route for. Returns when the first one is on its way
sends_on() {
	touch "$PAIR_DIR/go"
	in_ns a timeout 60 python3 - "$HOST" "$PAIR_DIR/go" "$PAIR_DIR/sends" >"$PAIR_DIR/refused" 3>&- <<-'PY' &
		import os, socket, sys, time
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		sent = refused = 0
		while os.path.exists(sys.argv[2]):
		    try:
		        s.sendto(b"x", (sys.argv[1], 5399))
		        sent += 1
		    except OSError:
		        refused += 1
		    if sent + refused == 1:
		        open(sys.argv[3], "w").close()
		    time.sleep(0.0002)
		print(sent, refused)
	PY
	SENDER=$!
	wait_for 10 test -e "$PAIR_DIR/sends"
}

@test "a route in use that takes another metric or length by a reload is there all the time" {
	local filler i sent refused
	filler=$(seq -f '{route: 20.0.%g.0/24, via: 10.42.0.7, metric: 77}, ' 0 255 | tr -d '\n')
	node a "$M57" routes="  unsafe_routes: [$filler{route: $BEHIND, via: ${OVERLAY[g]}, metric: 77}]"
	node g "$M57"
	wait_for 10 reaches a "$HOST"
	sends_on
	for i in 1 2 3 4; do
		sed -i 's/metric: 77/metric: 55/g' "$PAIR_DIR/a.yml"
		ctl a reload
		sed -i "s|$BEHIND|172.16.0.0/16|" "$PAIR_DIR/a.yml"
		ctl a reload
		sed -i "s|172.16.0.0/16|$BEHIND|; s/metric: 55/metric: 77/g" "$PAIR_DIR/a.yml"
		ctl a reload
	done
	rm "$PAIR_DIR/go"
	wait $SENDER
	read -r sent refused <"$PAIR_DIR/refused"
	echo "sent $sent, refused $refused"
	[ "$sent" -gt 100 ]
	[ "$refused" -eq 0 ]
	[ "$(in_ns a ip route show dev tun-a | grep -c 'metric 77')" = 257 ]
	[ "$(in_ns a ip route show dev tun-a | grep -c 'metric 55')" = 0 ]
}

@test "what the certificate of the gateway does not hold does not go to it" {
	node a "$M57" routes="  unsafe_routes: [{route: 172.16.0.0/16, via: ${OVERLAY[g]}}]"
	node g "$M57"
	wait_for 10 reaches a "$HOST"
	run ! reaches a 172.16.8.9
	counted a firewall_out_remote_addr
	ctl a why 172.16.8.9 | tee "$PAIR_DIR/why"
	grep -q "^reachable: no: leaving: destination that the peer's certificate does not cover" "$PAIR_DIR/why"
	ctl a why "$HOST" | grep -q '^reachable: yes'
}

# stream_begin PORT PACKETS IDLE-MS: of one flow, numbered, 200 a second; what arrives is in sink-PORT
stream_begin() {
	: >"$PAIR_DIR/sink-$1"
	in_ns n "$BLAST" sink "$1" --limit 12 --idle "$3" >"$PAIR_DIR/sink-$1" </dev/null 3>&- &
	SINKS+=($!)
	wait_for 2 grep -q ready "$PAIR_DIR/sink-$1"
	in_ns a timeout 20 "$BLAST" send "$HOST" "$1" --bytes 200 --rate 200 --packets "$2" \
		--seconds 8 >/dev/null </dev/null 3>&- &
	SINKS+=($!)
}

forwarded() {
	in_ns "$1" cat /sys/class/net/lan/statistics/tx_packets
}

@test "two gateways share the flows; when one dies its flows are with the other within 3 s" {
	local port g h received lost
	node a "$M57" routes="$VIA_BOTH"
	node g "$M57"
	node h "$M57"
	wait_for 10 reaches a "$HOST"
	wait_for 10 reaches a "${OVERLAY[g]}"
	wait_for 10 reaches a "${OVERLAY[h]}"
	g=$(forwarded g) h=$(forwarded h) SINKS=()
	for port in 5301 5302 5303 5304 5305 5306 5307 5308; do
		stream_begin $port 1000 3200
	done
	both_forward() {
		[ $(($(forwarded g) - g)) -gt 50 ] && [ $(($(forwarded h) - h)) -gt 50 ]
	}
	wait_for 5 both_forward
	# The one that h serves goes on; those of g lose what was sent into the silence.
	kill -KILL "${NODE_PID[g]}"
	unset "NODE_PID[g]"
	wait "${SINKS[@]}" || true
	for port in 5301 5302 5303 5304 5305 5306 5307 5308; do
		read -r _ received _ < <(grep ^packets "$PAIR_DIR/sink-$port")
		lost=$((1000 - received))
		echo "flow to $port: $lost of 1000 lost"
		[ $lost -le 600 ] # 3 s at 200 a second
	done
	ctl a why "$HOST" udp 5301 40000 | grep -q "${OVERLAY[h]}, weight 1, with a tunnel.*takes the flow now"
	# back again: its flows come back to it
	node g "$M57"
	wait_for 10 reaches a "${OVERLAY[g]}"
	g=$(forwarded g)
	wait_for 10 flows_reach_g "$g"
}

# Pings of many identifiers: some are g's.
flows_reach_g() {
	for _ in 1 2 3 4 5 6 7 8; do
		reaches a "$HOST" >/dev/null
	done
	[ "$(forwarded g)" -gt "$1" ]
}

@test "the system's routes are followed while the node runs" {
	node a "$M57" routes="  use_system_route_table: true"
	node g "$M57"
	node h "$M57"
	wait_for 10 reaches a "${OVERLAY[g]}"
	run ! reaches a "$HOST"
	ip -n "${NS[a]}" route add $BEHIND via "${OVERLAY[g]}" dev tun-a
	wait_for 5 reaches a "$HOST"
	ctl a why "$HOST" | grep -q 'learned from the system'
	ip -n "${NS[a]}" route replace $BEHIND nexthop via "${OVERLAY[g]}" dev tun-a weight 1 \
		nexthop via "${OVERLAY[h]}" dev tun-a weight 4
	wait_for 5 ctl_why_has "${OVERLAY[h]}, weight 4"
	reaches a "$HOST"
	ip -n "${NS[a]}" route del $BEHIND
	ip -n "${NS[a]}" route add $BEHIND dev tun-a
	wait_for 5 no_gateway
	run ! reaches a "$HOST"
	counted a tun_no_route
}

ctl_why_has() {
	ctl a why "$HOST" | grep -q "$1"
}

no_gateway() {
	! ctl_why_has gateway
}

@test "a burst of 10,000 routes while a stream runs: few tables, no gap" {
	local received
	node a "$M57" routes="  use_system_route_table: true
  unsafe_routes: [{route: $BEHIND, via: ${OVERLAY[g]}}]"
	node g "$M57"
	wait_for 10 reaches a "$HOST"
	SINKS=()
	stream_begin 5301 600 500
	seq 0 9999 | awk '{ printf "route add 20.%d.%d.0/24 via 10.42.0.7 dev tun-a\n", $1 / 256, $1 % 256 }' |
		ip -n "${NS[a]}" -batch -
	wait_for 20 learned 10000
	seq 0 9999 | awk '{ printf "route del 20.%d.%d.0/24\n", $1 / 256, $1 % 256 }' |
		ip -n "${NS[a]}" -batch -
	wait_for 20 learned 0
	wait "${SINKS[@]}" || true
	read -r _ received _ < <(grep ^packets "$PAIR_DIR/sink-5301")
	echo "received $received of 600"
	[ "$received" -eq 600 ]
	ctl a -json status | python3 -c '
import json, sys
routes = json.load(sys.stdin)["systemRoutes"]
print(routes)
assert routes["tables"] <= 100'
}

learned() {
	[ "$(ctl a -json status | python3 -c 'import json, sys; print(json.load(sys.stdin)["systemRoutes"]["routes"])')" = "$1" ]
}

@test "broadcast and multicast are dropped where that is wanted, and not elsewhere" {
	node a "$M57" routes="  drop_local_broadcast: true
  drop_multicast: true"
	node g "$M57"
	wait_for 10 reaches a "${OVERLAY[g]}"
	ip -n "${NS[a]}" route add 224.0.0.0/4 dev tun-a
	in_ns a ping -b -c 2 -i 0.1 -w 1 -q 10.42.255.255 || true
	in_ns a ping -c 3 -i 0.1 -w 1 -q 224.0.0.5 || true
	ctl a drops | grep -q 'tun_broadcast *[1-9]'
	ctl a drops | grep -q 'tun_multicast *[1-9]'
	ip -n "${NS[g]}" route add 224.0.0.0/4 dev tun-g
	in_ns g ping -c 3 -i 0.1 -w 1 -q 224.0.0.5 || true
	counted g tun_no_route
	run ! counted g tun_multicast
}
