# A node a, two gateways g and h, and a plain host n behind them that knows nothing of the overlay:
# sourced by gateway.bats after lib. Each alone in a namespace, joined by switches in a fifth.
#
#   underlay 192.0.2.1 (a) .7 (g) .8 (h); overlay 10.42.0.1, .7, .8
#   behind: 172.16.7.7 (g) .8 (h) .9 (n); n sends 10.42.0.0/16 to g

UNDERLAY[g]=192.0.2.7 UNDERLAY[h]=192.0.2.8
OVERLAY[g]=10.42.0.7 OVERLAY[h]=10.42.0.8
INNER=(g 172.16.7.7 h 172.16.7.8 n 172.16.7.9)
BEHIND=172.16.7.0/24
HOST=172.16.7.9

# plug SIDE DEVICE SWITCH ADDRESS
plug() {
	ip -n "${NS[$1]}" link add "$2" type veth peer name "$2-$1" netns "${NS[s]}"
	ip -n "${NS[s]}" link set "$2-$1" master "$3" up
	ip -n "${NS[$1]}" link set "$2" up
	ip -n "${NS[$1]}" addr add "$4/24" dev "$2"
}

gateway_net_make() {
	local side i
	PAIR_DIR=$BATS_TEST_TMPDIR/pair
	mkdir -p "$PAIR_DIR"
	namespaces_add s a g h n
	for side in outer inner; do
		ip -n "${NS[s]}" link add "$side" type bridge
		ip -n "${NS[s]}" link set "$side" up
	done
	for side in a g h; do
		plug "$side" veth0 outer "${UNDERLAY[$side]}"
	done
	for ((i = 0; i < ${#INNER[@]}; i += 2)); do
		plug "${INNER[i]}" lan inner "${INNER[i + 1]}"
	done
	for side in g h; do
		in_ns $side sysctl -q -w net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 \
			net.ipv4.conf.default.rp_filter=0
	done
	ip -n "${NS[n]}" route add 10.42.0.0/16 via 172.16.7.7
	cert_tool "$M57_CERT" ca -name demo-ca -duration 24h >/dev/null
	cert_tool "$M57_CERT" sign -name a -ip "${OVERLAY[a]}/16" -groups demo >/dev/null
	for side in g h; do
		cert_tool "$M57_CERT" sign -name $side -ip "${OVERLAY[$side]}/16" -groups demo \
			-subnets "$BEHIND" >/dev/null
	done
}

# node SIDE PROGRAM [KEY=VALUE...]: routes= (lines under tun:), rule= (of both directions), firewall=
# (lines under firewall:), mtu=
node() {
	local side=$1 program=$2 other routes="" firewall="" mtu=1300
	local rule="{port: any, proto: any, host: any, local_cidr: any}"
	shift 2
	[ $# = 0 ] || local "$@"
	{
		echo "pki: {ca: $PAIR_DIR/ca.crt, cert: $PAIR_DIR/$side.crt, key: $PAIR_DIR/$side.key}"
		echo "static_host_map:"
		for other in a g h; do
			[ $other = "$side" ] || echo "  ${OVERLAY[$other]}: ['${UNDERLAY[$other]}:4242']"
		done
		cat <<-YAML
			lighthouse: {am_lighthouse: false}
			listen: {host: 0.0.0.0, port: 4242}
			tun:
			  dev: tun-$side
			  mtu: $mtu
			$routes
			firewall:
			  outbound: [$rule]
			  inbound: [$rule]
			$firewall
			m57: {ctl: $PAIR_DIR/$side.sock}
		YAML
	} >"$PAIR_DIR/$side.yml"
	node_start "$side" "$program"
	wait_for 5 device_is_up "$side"
}

device_is_up() {
	in_ns "$1" ip -o link show "tun-$1" | grep -q LOWER_UP
}

ctl() {
	local side=$1
	shift
	"$B/m57ctl" -socket "$PAIR_DIR/$side.sock" "$@"
}

# reaches FROM ADDRESS [ping options]: one ping passes
reaches() {
	local side=$1 address=$2
	shift 2
	in_ns "$side" ping -c 1 -W 1 -q "$@" "$address"
}

# tcp_moves FROM TO ADDRESS [iperf3 options]: at least 5 MB in a second
tcp_moves() {
	local from=$1 to=$2 address=$3 bytes
	shift 3
	[ -n "$(in_ns "$to" ss -Hltn 'sport = :5201')" ] || iperf_serve "$to"
	in_ns "$from" timeout 20 iperf3 -J -p 5201 -t 1 -c "$address" "$@" >"$PAIR_DIR/iperf.json" \
		</dev/null 3>&- || cat "$PAIR_DIR/iperf.json"
	read -r _ bytes _ < <("$REPO/scripts/figures" tcp "$PAIR_DIR/iperf.json")
	echo "TCP $from to $address $*: $bytes bytes"
	[ "$bytes" -ge 5000000 ]
}

# udp_moves FROM TO ADDRESS: numbered packets, all but a few of which arrive
udp_moves() {
	local sink received
	: >"$PAIR_DIR/sink"
	in_ns "$2" "$BLAST" sink 5202 --limit 20 >"$PAIR_DIR/sink" </dev/null 3>&- &
	sink=$!
	wait_for 2 grep -q ready "$PAIR_DIR/sink"
	in_ns "$1" timeout 20 "$BLAST" send "$3" 5202 --bytes 1000 --packets 2000 --rate 5000 \
		--seconds 10 </dev/null 3>&-
	wait "$sink" || true
	read -r _ received _ < <(grep ^packets "$PAIR_DIR/sink")
	echo "UDP $1 to $3: $received of 2000"
	[ "${received:-0}" -ge 1980 ]
}

# passes_both_ways: a and the host behind the gateway
passes_both_ways() {
	local size
	for size in 0 56 1252 1273 4000 60000; do
		reaches a "$HOST" -s $size
		reaches n "${OVERLAY[a]}" -s $size -M dont
	done
	tcp_moves a n "$HOST"
	tcp_moves a n "$HOST" -R
	udp_moves a n "$HOST"
	udp_moves n a "${OVERLAY[a]}"
}

# counted SIDE NAME: a drop of that name
counted() {
	ctl "$1" drops | grep -q "$2"
}
