# Reload: a stream that shows no gap, files that are refused, and each kind of change seen from outside.
bats_require_minimum_version 1.5.0
load lib

CTL=$B/m57ctl

ctl() {
	local side=$1
	shift
	timeout 20 "$CTL" -socket "$PAIR_DIR/$side.sock" "$@" 3>&-
}

# says SIDE TEXT COMMAND...: the output has the text (a pattern of grep -E)
says() {
	local side=$1 text=$2
	shift 2
	run ctl "$side" "$@"
	echo "m57ctl $*: $status: $output"
	grep -qE -e "$text" <<<"$output"
}

# edit SIDE SED-SCRIPT: changes the configuration that the node was started with
edit() {
	sed -i "$2" "$PAIR_DIR/$1.yml"
}

# reloaded SIDE: tells the node and expects it to take up the file
reloaded() {
	local answer
	answer=$(ctl "$1" reload) || {
		echo "reload of $1: $answer"
		return 1
	}
}

logged() {
	grep -q -e "$2" "$PAIR_DIR/$1.log"
}

pings() {
	in_ns "$1" ping -c 1 -W 1 -q "${2:-${OVERLAY[$(other "$1")]}}"
}

fails_now() {
	run ! "$@"
}

reload_a_hundred_times() {
	local i
	for i in $(seq 1 100); do
		case $((i % 3)) in
		0) edit a "s/^  mtu: .*/  mtu: $((1280 + i))/" ;;
		1) edit a "s|^  inbound: .*|  inbound: [{port: $i, proto: tcp, host: any}, {port: any, proto: icmp, group: demo}]|" ;;
		2) edit a "s|^  unsafe_routes: .*|  unsafe_routes: [{route: 172.16.$i.0/24, via: 10.42.0.2}]|" ;;
		esac
		cp "$PAIR_DIR/a.yml" "$PAIR_DIR/was.yml"
		ctl a reload >"$PAIR_DIR/answer" 2>&1 || return 1
	done
	touch "$PAIR_DIR/done"
}

@test "a hundred reloads, of a rule, a route or the MTU each, and a paced stream has no gap" {
	local packets=20000 sink received missing
	nodes_make "$M57" "$M57" tun_extra="  unsafe_routes: []" inbound="[{port: any, proto: any, host: any}]"
	in_ns b "$BLAST" sink 5202 --limit 60 --idle 2000 >"$PAIR_DIR/sink" </dev/null 3>&- &
	sink=$!
	wait_for 2 grep -q ready "$PAIR_DIR/sink"
	in_ns a "$BLAST" send "${OVERLAY[b]}" 5202 --bytes 200 --packets $packets --rate 2000 --seconds 40 \
		>"$PAIR_DIR/sent" </dev/null 3>&- &
	local source=$!
	# beside it, each packet a flow that is not tracked yet: the rules judge it, old or new
	in_ns a "$BLAST" send "${OVERLAY[b]}" 10000 --bytes 60 --ports 40000 --rate 1000 --seconds 15 \
		>/dev/null </dev/null 3>&- &
	local flows=$!
	reload_a_hundred_times || { cat "$PAIR_DIR/answer"; return 1; }
	kill -0 $source || { echo "the stream was over before the reloads"; return 1; }
	kill $flows 2>/dev/null || true
	wait $flows || true
	wait $source $sink
	cat "$PAIR_DIR/sent" "$PAIR_DIR/sink"
	grep -q "^packets $packets .* disorder 0$" "$PAIR_DIR/sink"
	grep -q '^missing 0 ' "$PAIR_DIR/sink"
	echo "# 100 reloads: $(grep missing "$PAIR_DIR/sink")" >&3
	says a '^ *applied: 100$' status
	run ctl a drops -interval 0
	echo "$output"
	[ "$(grep -c firewall_out_no_rule <<<"$output")" = 0 ]
	in_ns a ip route show dev tun-a | grep -q '172.16.98.0/24'
	[ "$(in_ns a ip route show dev tun-a | grep -c '172.16')" = 1 ]
	[ "$(in_ns a cat /sys/class/net/tun-a/mtu)" = 1379 ]
}

@test "a bad file changes nothing, says where it is wrong, and the node goes on" {
	nodes_make "$M57" "$M57"
	cp "$PAIR_DIR/a.yml" "$PAIR_DIR/good.yml"
	edit a "s/^  mtu: .*/  mtu: 9999/; s|^  inbound: .*|  inbound: [{port: 99999, proto: tcp, host: any}]|"
	run ctl a reload
	echo "$status: $output"
	[ "$status" = 1 ]
	grep -q 'nothing has changed; 2 errors' <<<"$output"
	grep -qE "a.yml:$(grep -n 'mtu: 9999' "$PAIR_DIR/a.yml" | cut -d: -f1): tun.mtu 9999 is above" <<<"$output"
	says a '^ *result: refused$' status
	says a '^ *errors: 2$' status
	logged a 'port \\"99999\\" is no port.*config=.*a.yml:'
	logged a 'was not reloaded, the node goes on'
	printf 'pki: [\n' >"$PAIR_DIR/a.yml"
	kill -HUP "${NODE_PID[a]}"
	wait_for 5 logged a 'Caught HUP, reloading config'
	rm "$PAIR_DIR/a.yml"
	run ctl a reload
	[ "$status" = 1 ]
	mkfifo "$PAIR_DIR/a.yml" # which nobody writes to
	run ctl a reload
	[ "$status" = 1 ]
	grep -q "a.yml: a pipe is read once" <<<"$output"
	pings a
	rm "$PAIR_DIR/a.yml"
	cp "$PAIR_DIR/good.yml" "$PAIR_DIR/a.yml"
	mv "$PAIR_DIR/a.key" "$PAIR_DIR/hidden"
	run ctl a reload
	grep -q "a.yml:4: pki.key: cannot read" <<<"$output"
	mkfifo "$PAIR_DIR/a.key"
	run ctl a reload
	grep -q "a.yml:4: .*/a.key: a pipe is read once" <<<"$output"
	pings a
	rm "$PAIR_DIR/a.key"
	mv "$PAIR_DIR/hidden" "$PAIR_DIR/a.key"
	reloaded a
	says a '^ *result: applied$' status
	pings a
	pings b
	[ "$(in_ns a cat /sys/class/net/tun-a/mtu)" = 1300 ]
}

@test "a SIGHUP while the node is only being started does not end it" {
	local i
	config_write a
	for i in {1..60}; do echo "unknown_key_with_a_name_so_long_that_warnings_fill_a_pipe_$i: 1"; done >>"$PAIR_DIR/a.yml"
	# who does not read the warnings holds the start up behind the reading of the file
	timeout 60 ip netns exec "${NS[a]}" python3 - "$M57" "$PAIR_DIR/a.yml" >"$PAIR_DIR/held" 2>&1 <<-'PY' 3>&- || { cat "$PAIR_DIR/held"; false; }
		import fcntl, os, signal, subprocess, sys, termios, time
		node = subprocess.Popen([sys.argv[1], "-config", sys.argv[2]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
		fcntl.fcntl(node.stdout, fcntl.F_SETPIPE_SZ, 4096)
		def waiting():
		    full = fcntl.ioctl(node.stdout, termios.FIONREAD, b"\0" * 4)
		    return int.from_bytes(full, sys.byteorder) > 3000
		while not waiting() and node.poll() is None:
		    time.sleep(0.01)
		time.sleep(0.1)
		for number in signal.SIGHUP, signal.SIGUSR1:
		    os.kill(node.pid, number)
		told = set()
		for line in node.stdout:
		    print(line.decode(), end="")
		    told |= {text for text in (b"Configuration reloaded", b'msg=Counters') if text in line}
		    if len(told) == 2:
		        node.terminate()
		sys.exit(0 if len(told) == 2 and node.wait() == 0 else "ended by %d" % -node.wait())
	PY
}

@test "keys that need a restart are named in one warning; logging changes at once" {
	nodes_make "$M57" "$M57" extra="sshd: {enabled: true}"
	[ "$(grep -c 'sshd.*m57ctl' "$PAIR_DIR/a.log")" = 1 ]
	edit a "s/^  port: 4242/  port: 4243/; s/^  dev: .*/  dev: tun-z/; s/^routines: .*/routines: 1/; s/^  level: info/  level: info\n  format: json/"
	reloaded a
	[ "$(grep -c 'take effect at the next start only' "$PAIR_DIR/a.log")" = 1 ]
	logged a 'keys.*listen.port, routines, tun.dev'
	logged a '{.*"msg":"Configuration reloaded"'
	says a 'at the next start: listen.port, routines, tun.dev' status
	reloaded a
	[ "$(grep -c 'take effect at the next start only' "$PAIR_DIR/a.log")" = 1 ]
	edit a "s/^  port: 4243/  port: 4244/"
	reloaded a
	[ "$(grep -c 'take effect at the next start only' "$PAIR_DIR/a.log")" = 2 ]
	edit a "s/^  level: info/  level: error/"
	kill -HUP "${NODE_PID[a]}"
	wait_for 5 says a 'logLevel: error' status
	pings b
}

# sign SIDE [ARGUMENTS...]: another certificate for it, by ca.key; the key is made anew
sign() {
	local side=$1
	shift
	rm -f "$PAIR_DIR/$side.crt" "$PAIR_DIR/$side.key"
	cert_tool "$M57_CERT" sign -name "$side" -ip "${OVERLAY[$side]}/16" -groups demo "$@"
}

fingerprint() {
	"$M57_CERT" print -json -path "$PAIR_DIR/$1.crt" | python3 -c 'import json, sys; print(json.load(sys.stdin)["fingerprint"])'
}

# shown SIDE: the other side has the certificate that SIDE has now
shown() {
	local peer
	peer=$(other "$1")
	grep -q "Handshake message received.*fingerprint=$(fingerprint "$1")" "$PAIR_DIR/$peer.log"
}

# flow_begin: a ping every 20 ms from a, until it is told to end, well under way
flow_begin() {
	ip netns exec "${NS[a]}" ping -n -i 0.02 "${OVERLAY[b]}" >"$PAIR_DIR/flow" 2>&1 </dev/null 3>&- &
	FLOW=$!
	flow_goes_on
}

flow_answers() {
	[ "$(grep -c ' bytes from ' "$PAIR_DIR/flow")" -ge "$1" ]
}

# flow_goes_on: ten more answers
flow_goes_on() {
	wait_for 10 flow_answers $(($(grep -c ' bytes from ' "$PAIR_DIR/flow") + 10))
}

# flow_end LOST: ends it; at most LOST numbers are missing below the highest that was answered
flow_end() {
	flow_goes_on
	kill -INT $FLOW
	wait $FLOW || true
	awk -v most="$1" -F 'icmp_seq=' '/ bytes from / { split($2, n, " "); answered += !seen[n[1]]++; if (n[1] > high) high = n[1] + 0 }
		END { print answered " of " high " answered"; exit high - answered > most }' "$PAIR_DIR/flow"
}

# renewal PROGRAM-AT-B
renewal() {
	nodes_make "$M57" "$1"
	flow_begin
	sign a -duration 12h
	reloaded a
	wait_for 12 shown a || { echo "b was not shown the new certificate"; return 1; }
	flow_end 1
	pings a
	pings b
	# another network takes a restart
	sign a -duration 12h -ip 10.43.0.1/16
	run ctl a reload
	echo "$output"
	[ "$status" = 1 ]
	grep -q "a.yml:3: pki.cert: the networks of this node's certificate changed; that takes a restart" <<<"$output"
	pings a
}

@test "a renewed certificate is shown beside live traffic" {
	renewal "$M57"
}

@test "a renewed certificate is shown to nebula beside live traffic" {
	command -v "$NEBULA" >/dev/null || skip "needs nebula (scripts/install-deps)"
	renewal "$NEBULA"
}

# take_up SIDE: m57 by m57ctl, nebula by its signal
take_up() {
	kill -HUP "${NODE_PID[$1]}"
	case $2 in
	"$M57") wait_for 5 counted "$1" 'Configuration reloaded' "$3" ;;
	*) wait_for 5 counted "$1" 'Caught HUP, reloading config' "$3" ;;
	esac
}

counted() {
	[ "$(grep -c "$2" "$PAIR_DIR/$1.log")" -ge "$3" ]
}

# rotation PROGRAM-AT-B: trust both CAs, sign anew by the second, trust it alone
rotation() {
	nodes_make "$M57" "$1"
	mkdir "$PAIR_DIR/new"
	cp "$PAIR_DIR/ca.crt" "$PAIR_DIR/old.crt"
	cert_tool "$M57_CERT" ca -name second-ca -duration 24h -out-crt new/ca.crt -out-key new/ca.key
	flow_begin
	cat "$PAIR_DIR/old.crt" "$PAIR_DIR/new/ca.crt" >"$PAIR_DIR/ca.crt"
	take_up a "$M57" 1
	take_up b "$1" 1
	sign a -ca-crt new/ca.crt -ca-key new/ca.key
	take_up a "$M57" 2
	wait_for 12 shown a
	flow_end 1
	sign b -ca-crt new/ca.crt -ca-key new/ca.key
	take_up b "$1" 2
	wait_for 20 shown_or_begun || { echo "a was not shown b's certificate"; return 1; }
	cp "$PAIR_DIR/new/ca.crt" "$PAIR_DIR/ca.crt"
	take_up a "$M57" 3
	take_up b "$1" 3
	wait_for 10 pings a
	pings b
}

# a has b's new certificate: b renews by itself (m57), or a begins anew when its tunnel is closed (1.6.1)
shown_or_begun() {
	pings a || true
	shown b && return
	if [ "$(grep -c nebula <<<"${NODE_B:-}")" = 1 ]; then ctl a close-tunnel 10.42.0.2; fi
	return 1
}

@test "certificates move to another CA" {
	rotation "$M57"
}

@test "certificates move to another CA, nebula at the other end" {
	command -v "$NEBULA" >/dev/null || skip "needs nebula (scripts/install-deps)"
	NODE_B=nebula rotation "$NEBULA"
}

# blocked PROGRAM-AT-B
blocked() {
	nodes_make "$M57" "$1"
	edit a "/^  key:/a\\  blocklist: [$(fingerprint b)]"
	reloaded a
	wait_for 5 logged a 'Remote certificate is blocked, tearing down the tunnel'
	logged b 'Close tunnel received'
	fails_now pings b
	fails_now pings a
	logged a 'Invalid certificate from host.*blocked'
	edit a '/^  blocklist:/d'
	reloaded a
	wait_for 10 pings a
}

@test "tunnels of a blocked host close, and come back" {
	blocked "$M57"
}

@test "tunnels of a blocked nebula close, and come back" {
	command -v "$NEBULA" >/dev/null || skip "needs nebula (scripts/install-deps)"
	blocked "$NEBULA"
}

# arrivals: bytes that have come to b's programs
arrivals() {
	in_ns b cat /sys/class/net/tun-b/statistics/rx_bytes
}

# few_arrive MOST: at most MOST arrive in 0.3 s; the pings are 1300 of them, the stream is 38400
few_arrive() {
	local before
	before=$(arrivals)
	sleep 0.3
	[ $(($(arrivals) - before)) -le "$1" ]
}

many_arrive() {
	! few_arrive 20000
}

@test "a rule that goes cuts an established flow, and spares the one that another rule allows" {
	local open='{port: 5202, proto: udp, host: any}' icmp='{port: any, proto: icmp, host: any}'
	nodes_make "$M57" "$M57" inbound="[$open, $icmp]"
	in_ns b "$BLAST" sink 5202 --limit 40 --idle 20000 >"$PAIR_DIR/sink" </dev/null 3>&- &
	wait_for 2 grep -q ready "$PAIR_DIR/sink"
	in_ns a "$BLAST" send "${OVERLAY[b]}" 5202 --bytes 100 --rate 1000 --seconds 30 >/dev/null </dev/null 3>&- &
	flow_begin
	wait_for 5 many_arrive
	edit b "s|^  inbound: .*|  inbound: [$icmp]|"
	reloaded b
	wait_for 3 few_arrive 6000 || { echo "the flow goes on"; return 1; }
	few_arrive 6000
	says b '^firewall_no_rule ' drops -interval 0
	edit b "s|^  inbound: .*|  inbound: [{port: 5200-5300, proto: udp, group: demo}, $icmp]|"
	reloaded b
	wait_for 2 many_arrive
	flow_end 1
}

@test "the map of hosts: another address, another host" {
	nodes_make "$M57" "$M57"
	ctl a close-tunnel 10.42.0.2
	edit a 's/"192.0.2.2:4242"/"192.0.2.77:4242"/'
	reloaded a
	wait_for 3 says a 'known: 0|192.0.2.77' print-tunnel 10.42.0.2 || true
	edit b 's/"192.0.2.1:4242"/"192.0.2.78:4242"/'
	reloaded b
	fails_now pings a
	edit a 's/"192.0.2.77:4242"/"192.0.2.2:4242"/'
	reloaded a
	wait_for 8 pings a
}

@test "routes and MTU follow in the kernel" {
	nodes_make "$M57" "$M57" tun_extra="  unsafe_routes: [{route: 172.16.1.0/24, via: 10.42.0.2, metric: 7}]"
	[ "$(in_ns a ip -o route show 172.16.1.0/24 | grep -c 'metric 7')" = 1 ]
	edit a 's|^  unsafe_routes: .*|  unsafe_routes: [{route: 172.16.1.0/24, via: 10.42.0.2, metric: 9, mtu: 1400}, {route: 172.16.2.0/24, via: 10.42.0.2, install: false}]\n  routes: [{route: 10.42.9.0/24, mtu: 1200}]|'
	reloaded a
	in_ns a ip -o route show dev tun-a
	[ "$(in_ns a ip -o route show 172.16.1.0/24)" = "$(in_ns a ip -o route show 172.16.1.0/24 | grep 'metric 9')" ]
	[ "$(in_ns a cat /sys/class/net/tun-a/mtu)" = 1400 ]
	in_ns a ip -o route show 10.42.9.0/24 | grep -q 'mtu 1200'
	[ -z "$(in_ns a ip -o route show 172.16.2.0/24)" ]
	edit a '/^  unsafe_routes:/d; /^  routes:/d'
	reloaded a
	[ -z "$(in_ns a ip -o route show 172.16.0.0/16)" ]
	[ "$(in_ns a cat /sys/class/net/tun-a/mtu)" = 1300 ]
	pings a
}

@test "a route that the kernel refused comes with the next reload" {
	nodes_make "$M57" "$M57"
	in_ns a sysctl -q -w net.ipv6.conf.tun-a.disable_ipv6=1
	edit a 's|^tun:|&\n  unsafe_routes: [{route: "fd99::/48", via: 10.42.0.2}]|'
	says a 'route to fd99::/48 .*: Permission denied' reload
	in_ns a sysctl -q -w net.ipv6.conf.tun-a.disable_ipv6=0
	reloaded a
	says a '^ *result: applied$' status
	in_ns a ip -6 route show dev tun-a | grep -q '^fd99::/48'
	pings a
}

dns_ports() {
	in_ns a ss -Hlun | awk '{ sub(".*:", "", $4); if ($4 != 4242) print $4 }' | xargs
}

@test "a lighthouse begins to answer DNS, at another port, and no more" {
	config_write a
	edit a 's/am_lighthouse: false/am_lighthouse: true\n  serve_dns: false\n  dns: {host: 127.0.0.1, port: 5353}/'
	node_start a
	wait_for 5 says a '^queues: 2$' status
	[ "$(dns_ports)" = "" ]
	edit a 's/serve_dns: false/serve_dns: true/'
	reloaded a
	[ "$(dns_ports)" = 5353 ]
	edit a 's/port: 5353/port: 5354/'
	reloaded a
	[ "$(dns_ports)" = 5354 ]
	edit a 's/serve_dns: true/serve_dns: false/'
	reloaded a
	[ "$(dns_ports)" = "" ]
}
