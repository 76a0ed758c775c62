# A network of a lighthouse and two hosts, each alone in a namespace, joined by a switch in a fourth:
# sourced by lighthouse.bats after lib. Sides l, a, b; a and b know the lighthouse only.
#
#   underlay 192.0.2.9 (l), .1 (a), .2 (b), UDP 4242; overlay 10.42.0.9, .1, .2

UNDERLAY[l]=192.0.2.9
OVERLAY[l]=10.42.0.9

# hub_make: namespaces, bridge, veths, addresses, certificates
hub_make() {
	local side
	PAIR_DIR=$BATS_TEST_TMPDIR/pair
	mkdir -p "$PAIR_DIR"
	namespaces_add s l a b
	ip -n "${NS[s]}" link add switch type bridge
	ip -n "${NS[s]}" link set switch up
	for side in l a b; do
		hub_join "$side" s switch
		ip -n "${NS[$side]}" addr add "${UNDERLAY[$side]}/24" dev veth0
	done
	cert_tool "$M57_CERT" ca -name demo-ca -duration 24h >/dev/null
	for side in l a b; do
		cert_tool "$M57_CERT" sign -name "$side" -ip "${OVERLAY[$side]}/16" -groups demo >/dev/null
	done
}

# hub_join SIDE AT BRIDGE: veth0 of SIDE is a port of a bridge in namespace AT
hub_join() {
	ip -n "${NS[$1]}" link add veth0 type veth peer name "port-$1" netns "${NS[$2]}"
	ip -n "${NS[$2]}" link set "port-$1" master "$3" up
	ip -n "${NS[$1]}" link set veth0 up
}

# hub_config SIDE [EXTRA YAML]: INTERVAL (of lighthouse updates, s), port=, lighthouse= (lines under lighthouse:), more= (top level)
hub_config() {
	local side=$1 port=4242 lighthouse="" more="" role
	shift
	[ $# = 0 ] || local "$@"
	if [ "$side" = l ]; then
		role="am_lighthouse: true"
	else
		role="hosts: [\"${OVERLAY[l]}\"]"
	fi
	cat >"$PAIR_DIR/$side.yml" <<YAML
pki: {ca: $PAIR_DIR/ca.crt, cert: $PAIR_DIR/$side.crt, key: $PAIR_DIR/$side.key}
static_host_map:
  "${OVERLAY[l]}": ["${UNDERLAY[l]}:4242"]
lighthouse:
  $role
  interval: ${INTERVAL:-5}
$lighthouse
listen: {host: 0.0.0.0, port: $port}
tun: {dev: tun-$side}
firewall:
  outbound: [{port: any, proto: any, host: any}]
  inbound: [{port: any, proto: any, host: any}]
logging: {level: debug}
m57: {ctl: $PAIR_DIR/$side.sock}
$more
YAML
	[ "$side" != l ] || sed -i '/^static_host_map/,+1d' "$PAIR_DIR/l.yml"
}

# hub_start SIDE PROGRAM [KEY=VALUE...]
hub_start() {
	local side=$1 program=$2
	shift 2
	hub_config "$side" "$@"
	node_start "$side" "$program"
}

milliseconds() {
	echo $((${EPOCHREALTIME/./} / 1000))
}

# found_within MS FROM TO: pings pass within that time; says how long it took
found_within() {
	local from=$2 to=$3 start
	start=$(milliseconds)
	until in_ns "$from" ping -c 1 -i 0.2 -W 1 -q "${OVERLAY[$to]}" >/dev/null 2>&1; do
		[ $(($(milliseconds) - start)) -lt "$1" ] || return 1
	done
	echo "# $from finds $to in $(($(milliseconds) - start)) ms" >&3
}

# reported_to_lighthouse SIDE PROGRAM_L: the lighthouse has a tunnel with SIDE
has_tunnel() {
	grep -q "Handshake message \(sent\|received\).*certName=$2" "${NODE_LOG[$1]}"
}
