# Names: hosts of static_host_map that are known by a DNS name, and the lighthouse's DNS answers.
bats_require_minimum_version 1.5.0
load lib
. "$BATS_TEST_DIRNAME/lighthouse.bash"

setup() {
	need_machine
	NODE_ENV=()
	hub_make
	# what "ip netns exec" shows as /etc/resolv.conf; only a has a DNS server: in its own namespace
	mkdir -p "/etc/netns/${NS[a]}"
	echo "nameserver 127.0.0.1" >"/etc/netns/${NS[a]}/resolv.conf"
	RESOLV_CONF=/etc/netns/${NS[a]}
	ZONE=$PAIR_DIR/zone
	: >"$ZONE" >"$ZONE.asked"
}

teardown() {
	logs_show
	rm -rf "${RESOLV_CONF:?}" "/etc/netns/${NS[l]:?}"
	rmdir /etc/netns 2>/dev/null || true
	namespaces_remove
}

# dns_start [SIDE [ZONE [ADDRESS]]]: the server, in a's namespace or that of SIDE
dns_start() {
	in_ns "${1:-a}" python3 "$BATS_TEST_DIRNAME/dns_server.py" "${2:-$ZONE}" "${3:-127.0.0.1}" >"$PAIR_DIR/dns" 2>&1 </dev/null 3>&- &
	wait_for 5 grep -q ready "$PAIR_DIR/dns"
}

# a_by_name PROGRAM NAME... [KEY=VALUE]: a knows the lighthouse by these names alone
a_by_name() {
	local program=$1 names="" more=""
	shift
	for name in "$@"; do
		case $name in
		*=*) more=${name#*=} ;;
		*) names="$names\"$name:4242\"," ;;
		esac
	done
	hub_config a more="$more"
	sed -i "s/\[\"192.0.2.9:4242\"\]/[${names%,}]/" "$PAIR_DIR/a.yml"
	node_start a "$program"
}

lines() {
	grep -c "$1" "${NODE_LOG[a]}" || true
}

# asked_for NAME TIMES
asked_for() {
	[ "$(grep -c "$1" "$ZONE.asked")" -ge "$2" ]
}

@test "a lighthouse by name: DNS comes later than the node" {
	command -v python3 >/dev/null || skip "needs python3"
	echo "lh.example 192.0.2.9" >"$ZONE"
	hub_start l "$M57"
	hub_start b "$M57"
	a_by_name "$M57" lh.example
	wait_for 5 grep -q "Host name could not be looked up" "${NODE_LOG[a]}"
	dns_start
	wait_for 15 in_ns a ping -c 1 -W 1 -q "${OVERLAY[l]}"
	found_within 10000 a b
	grep -q 'Host name was looked up.*hostname=lh.example.*192.0.2.9:4242' "${NODE_LOG[a]}"
	[ "$(lines 'Host name could not be looked up')" = 1 ]
}

@test "a name that moves, and names whose servers misbehave: nothing else is disturbed" {
	command -v python3 >/dev/null || skip "needs python3"
	printf '%s\n' "lh.example 192.0.2.9" "silent.example silent" "garbage.example garbage" \
		"many.example many" "fail.example servfail" "six.example 2001:db8::1" >"$ZONE"
	dns_start
	hub_start l "$M57"
	a_by_name "$M57" silent.example garbage.example many.example nx.example fail.example \
		six.example lh.example more='static_map: {cadence: 1s, lookup_timeout: 300ms}'
	wait_for 10 in_ns a ping -c 1 -W 1 -q "${OVERLAY[l]}"
	wait_for 10 grep -q "many.example.* tcp\|many.example 1 tcp" "$ZONE.asked"
	# each bad name has its one line, however often it was asked for
	wait_for 10 asked_for nx.example 3
	for name in silent garbage nx fail six; do
		wait_for 5 grep -q "Host name could not be looked up.*$name.example" "${NODE_LOG[a]}"
	done
	wait_for 10 asked_for silent.example $(($(grep -c silent.example "$ZONE.asked") + 2))
	for name in silent garbage nx fail six; do
		[ "$(lines "Host name could not be looked up.*$name.example")" = 1 ]
	done
	# a thousand addresses, in another order each time: always the same sixteen of them
	[ "$(grep 'looked up.*many.example' "${NODE_LOG[a]}" | grep -o '198\.51\.100\.[0-9]*' | wc -l)" = 16 ]
	[ "$(in_ns a ping -q -c 20 -i 0.01 -W 2 "${OVERLAY[l]}" | grep -c ' 0% packet loss')" = 1 ]

	# the lighthouse gets another address
	node_end l KILL || true
	ip -n "${NS[l]}" addr del 192.0.2.9/24 dev veth0
	ip -n "${NS[l]}" addr add 192.0.2.88/24 dev veth0
	sed -i 's/192.0.2.9/192.0.2.88/' "$ZONE"
	node_start l "$M57"
	wait_for 15 in_ns a ping -c 1 -W 1 -q "${OVERLAY[l]}"
	grep -q 'looked up.*lh.example.*192.0.2.88:4242' "${NODE_LOG[a]}"

	# and then none: what it stood for goes
	sed -i 's/^lh.example .*/lh.example none/' "$ZONE"
	wait_for 10 grep -q 'could not be looked up.* addresses=0 .*hostname=lh.example' "${NODE_LOG[a]}"
	node_alive a
}

@test "three servers, of which the last one answers" {
	command -v python3 >/dev/null || skip "needs python3"
	echo "lh.example 192.0.2.9" >"$ZONE"
	echo "lh.example silent" >"$PAIR_DIR/silent"
	printf 'nameserver 127.0.0.%d\n' 2 3 1 >"$RESOLV_CONF/resolv.conf"
	dns_start a "$PAIR_DIR/silent" 127.0.0.2
	dns_start a "$PAIR_DIR/silent" 127.0.0.3
	dns_start
	hub_start l "$M57"
	a_by_name "$M57" lh.example more='static_map: {cadence: 1s}'
	wait_for 10 grep -q 'Host name was looked up.*hostname=lh.example.*192.0.2.9:4242' "${NODE_LOG[a]}"
	[ "$(grep -c lh.example "$PAIR_DIR/silent.asked")" -ge 2 ]
}

@test "network: ip, and a server that drops the queries of one family" {
	command -v python3 >/dev/null || skip "needs python3"
	printf '%s\n' "lh.example 192.0.2.9 silent6" "six.example 2001:db8::1 silent4" \
		"gone.example 198.51.100.7 2001:db8::7" >"$ZONE"
	dns_start
	hub_start l "$M57"
	a_by_name "$M57" lh.example six.example gone.example more='static_map: {cadence: 1s, network: ip}'
	wait_for 10 in_ns a ping -c 1 -W 1 -q "${OVERLAY[l]}"
	wait_for 5 grep -q 'looked up.*hostname=lh.example.*192.0.2.9:4242' "${NODE_LOG[a]}"
	wait_for 5 grep -q 'looked up.*hostname=six.example.*2001:db8::1]:4242' "${NODE_LOG[a]}"
	wait_for 5 grep -q 'looked up.*hostname=gone.example.*2001:db8::7]:4242' "${NODE_LOG[a]}"
	# what the other family was known to have stays; that the name has gone is an answer
	sed -i 's/^gone.*/gone.example none silent6/' "$ZONE"
	wait_for 10 grep -q 'could not be looked up.* addresses=1 .*hostname=gone.example' "${NODE_LOG[a]}"
	sed -i 's/^gone.*/gone.example none/' "$ZONE"
	wait_for 10 grep -q 'could not be looked up.* addresses=0 .*hostname=gone.example' "${NODE_LOG[a]}"
	[ "$(lines 'looked up.*hostname=lh.example')" = 1 ]
}

# --- the lighthouse answers -------------------------------------------------------------------------

# dig_l SIDE ADDRESS NAME TYPE: status and answers on one line
dig_l() {
	in_ns "$1" dig +tries=1 +time=3 +norecurse "@$2" -q "$3" "$4" |
		awk '/status:/ { sub(/.*status: /, ""); sub(/,.*/, ""); status = $0; next }
		     !/^;/ && NF { $2 = ""; answers = answers " " $0 }
		     END { print status answers }'
}

answers_are() {
	local wanted=$1
	shift
	run dig_l "$@"
	echo "dig $*: $output"
	[[ $output == $wanted ]]
}

@test "DNS of a lighthouse: names of its hosts, certificates for itself" {
	command -v dig >/dev/null || skip "needs dig (bind9-dnsutils)"
	hub_start l "$M57" lighthouse='  serve_dns: true'
	hub_start a "$M57"
	hub_start b "$M57"
	wait_for 10 in_ns a ping -c 1 -W 1 -q "${OVERLAY[l]}"
	wait_for 10 in_ns b ping -c 1 -W 1 -q "${OVERLAY[l]}"
	answers_are "NOERROR a. * IN A 10.42.0.1" b "${OVERLAY[l]}" a A
	answers_are "NOERROR B. * IN A 10.42.0.2" a "${OVERLAY[l]}" B A
	answers_are "NOERROR b. * IN A 10.42.0.2" a "${UNDERLAY[l]}" b A
	answers_are "NOERROR l. * IN A 10.42.0.9" a "${OVERLAY[l]}" l A
	answers_are "NOERROR" a "${OVERLAY[l]}" a AAAA
	answers_are "NOERROR" a "${OVERLAY[l]}" a MX
	answers_are "NXDOMAIN" a "${OVERLAY[l]}" nobody A
	answers_are "NXDOMAIN" a "${OVERLAY[l]}" 10.42.0.2 TXT
	answers_are "NXDOMAIN" a "${UNDERLAY[l]}" 10.42.0.2 TXT
	answers_are 'NOERROR 10.42.0.2. * IN TXT "Name: b" "Ips: \[10.42.0.2/16\]" "Subnets \[\]" "Groups \[demo\]" *' \
		l 127.0.0.1 10.42.0.2 TXT
	answers_are 'NOERROR 10.42.0.1. * "Name: a" *' l "${OVERLAY[l]}" 10.42.0.1 TXT
	answers_are "NXDOMAIN" l 127.0.0.1 10.42.0.77 TXT
	run ! in_ns a dig +tcp +tries=1 +time=1 "@${OVERLAY[l]}" a A

	# what is no question; then it still answers, and each is counted
	in_ns a python3 - "${OVERLAY[l]}" <<-'PYTHON'
		import os, socket, struct, sys
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		s.settimeout(3)
		to = (sys.argv[1], 53)
		head = lambda flags, count: struct.pack("!HHHHHH", 7, flags, count, 0, 0, 0)
		for bad in (b"\1", head(0x8100, 1) + b"\1a\0\0\1\0\1"):
		    s.sendto(bad, to)
		for bad in (head(0, 0), head(0, 1) + b"\xc0\x0c\0\1\0\1", head(0, 2) + b"\1a\0\0\1\0\1" * 2,
		            head(0, 1) + b"\1a", head(0, 1) + os.urandom(1400)):
		    s.sendto(bad, to)
		    reply = s.recv(4096)
		    assert len(reply) <= len(bad) and reply[3] & 15 in (1, 3, 5), (bad, reply)
	PYTHON
	answers_are "NOERROR a. * IN A 10.42.0.1" b "${OVERLAY[l]}" a A
	"$B/m57ctl" -socket "$PAIR_DIR/l.sock" drops | grep -E '^dns_invalid +2 '
}

@test "names and DNS answers follow a reload" {
	command -v dig >/dev/null || skip "needs dig (bind9-dnsutils)"
	echo "lh.example 192.0.2.9" >"$ZONE"
	dns_start
	hub_start l "$M57" lighthouse='  serve_dns: true'
	hub_start a "$M57"
	wait_for 10 in_ns a ping -c 1 -W 1 -q "${OVERLAY[l]}"
	answers_are "NOERROR l. * IN A 10.42.0.9" a "${OVERLAY[l]}" l A

	# the lighthouse answers at another port, then not at all
	sed -i 's/  serve_dns: true/  serve_dns: true\n  dns: {port: 5353}/' "$PAIR_DIR/l.yml"
	"$B/m57ctl" -socket "$PAIR_DIR/l.sock" reload
	wait_for 5 in_ns a dig +tries=1 +time=1 -p 5353 "@${OVERLAY[l]}" -q l A
	run ! in_ns a dig +tries=1 +time=1 "@${OVERLAY[l]}" -q l A
	sed -i 's/serve_dns: true/serve_dns: false/' "$PAIR_DIR/l.yml"
	"$B/m57ctl" -socket "$PAIR_DIR/l.sock" reload
	run ! in_ns a dig +tries=1 +time=1 -p 5353 "@${OVERLAY[l]}" -q l A

	# a knows the lighthouse by a name from now on, and comes back by it
	sed -i 's/\["192.0.2.9:4242"\]/["lh.example:4242"]/' "$PAIR_DIR/a.yml"
	"$B/m57ctl" -socket "$PAIR_DIR/a.sock" reload
	wait_for 5 grep -q 'Host name was looked up.*lh.example' "${NODE_LOG[a]}"
	"$B/m57ctl" -socket "$PAIR_DIR/a.sock" why 10.42.0.9 | grep -E 'DNS +1 addresses'
	in_ns a ping -c 1 -W 2 -q "${OVERLAY[l]}"
}

@test "a lighthouse whose DNS port is taken says so and works" {
	command -v dig >/dev/null || skip "needs dig (bind9-dnsutils)"
	in_ns l python3 "$BATS_TEST_DIRNAME/dns_server.py" "$ZONE" "${UNDERLAY[l]}" >"$PAIR_DIR/dns" 2>&1 </dev/null 3>&- &
	wait_for 5 grep -q ready "$PAIR_DIR/dns"
	hub_start l "$M57" lighthouse="  serve_dns: true
  dns: {host: ${UNDERLAY[l]}}"
	hub_start a "$M57"
	wait_for 10 in_ns a ping -c 1 -W 1 -q "${OVERLAY[l]}"
	grep "lighthouse.dns: no answers are given at ${UNDERLAY[l]}:53" "${NODE_LOG[l]}" |
		grep "config=\"\?$PAIR_DIR/l.yml:$(grep -n 'dns: {' "$PAIR_DIR/l.yml" | cut -d: -f1)"
}

# at_name PROGRAM HOST: where a lighthouse whose lighthouse.dns.host is HOST listens at port 5353
at_name() {
	hub_start l "$1" lighthouse="  serve_dns: true
  dns: {host: '$2', port: 5353}"
	wait_for 5 listens_for_dns
	in_ns l ss -Hlun 'sport = :5353' | awk '{ print $4 }'
	node_end l
	wait_for 5 port_is_free # the kernel ends a ring a moment after its process
}

port_is_free() {
	[ -z "$(in_ns l ss -Hlun 'sport = :4242')" ]
}

listens_for_dns() {
	[ -n "$(in_ns l ss -Hlun 'sport = :5353')" ]
}

@test "a lighthouse answers DNS at a name, as nebula does" {
	local program
	for program in "$M57" "$NEBULA"; do
		command -v "$program" >/dev/null || continue
		# a minimal system has no /etc/hosts
		! getent ahostsv4 localhost >/dev/null || [ "$(at_name "$program" localhost)" = 127.0.0.1:5353 ]
		[ "$(at_name "$program" "[::1]")" = "[::1]:5353" ]
	done
	# a name that nobody knows: said, and all else works
	hub_start l "$M57" lighthouse="  serve_dns: true
  dns: {host: nobody.invalid, port: 5353}"
	hub_start a "$M57"
	wait_for 10 in_ns a ping -c 1 -W 1 -q "${OVERLAY[l]}"
	wait_for 10 grep -q "lighthouse.dns: no answers are given at nobody.invalid:5353.*l.yml:[0-9]" "${NODE_LOG[l]}"
	run ! listens_for_dns
}

@test "a lighthouse answers DNS at a name beside more names of hosts than are looked up at once" {
	command -v python3 >/dev/null || skip "needs python3"
	mkdir -p "/etc/netns/${NS[l]}"
	echo "nameserver 127.0.0.1" >"/etc/netns/${NS[l]}/resolv.conf"
	{
		echo "dns.example 127.0.0.2"
		seq -f 'h%g.example silent' 1 20
	} >"$ZONE"
	dns_start l
	hub_config l lighthouse="  serve_dns: true
  dns: {host: dns.example, port: 5353}"
	{
		echo "static_host_map:"
		for i in $(seq 1 20); do echo "  10.42.1.$i: [\"h$i.example:4242\"]"; done
	} >>"$PAIR_DIR/l.yml"
	node_start l "$M57"
	wait_for 10 dns_ends_are 127.0.0.2:5353
	sed -i 's/port: 5353/port: 5354/' "$PAIR_DIR/l.yml"
	"$B/m57ctl" -socket "$PAIR_DIR/l.sock" reload
	wait_for 10 dns_ends_are 127.0.0.2:5354
	run ! grep "lighthouse.dns: no answers" "${NODE_LOG[l]}"
}

# dns_ends_are ADDRESS:PORT: there l listens for DNS
dns_ends_are() {
	[ "$(in_ns l ss -Hlun 'sport >= :5353 and sport <= :5354' | awk '{ print $4 }')" = "$1" ]
}
