# m57ctl against a live pair: each command, what a bad client may not do, and the life of the socket.
load lib
. "$BATS_TEST_DIRNAME/ctl.bash"

@test "what is: status, hosts, tunnel, certificates, counters" {
	nodes_make "$M57" "$M57" extra="sshd: {enabled: true, listen: '127.0.0.1:2222'}"
	says '^uptimeSeconds: [0-9.]+$' status
	says '^ioUring: 6\.' status
	says '^queues: 2$' status
	says 'networks: \[10.42.0.1/16\]' status
	says '^warnings: 1$' status
	says 'sshd.enabled has no effect: m57ctl ' status
	[ "$(grep -c sshd "$PAIR_DIR/a.log")" = 1 ]
	says '^\[10.42.0.2\] +192.0.2.2:4242 +live' list-hostmap
	says '^\[10.42.0.2\] +192.0.2.2:4242 +live' list-hostmap -after 10.42.0.1
	lacks 10.42.0.2 list-hostmap -after 10.42.0.2
	says '^currentRemote: 192.0.2.2:4242$' print-tunnel 10.42.0.2
	refuses 1 'Could not find tunnel for vpn addr: 10.42.0.7' print-tunnel 10.42.0.7
	says 'name: a$' print-cert
	says 'name: b$' print-cert 10.42.0.2
	ctl print-cert -raw 10.42.0.2 | cmp - "$PAIR_DIR/b.crt"
	says '^tun_reads ' counters
	says '^10.42.0.2: \{.*192.0.2.2:4242' list-lighthouse-addrmap
	says 192.0.2.2:4242 query-lighthouse 10.42.0.2
	refuses 1 'no tunnel' query-lighthouse 10.42.0.7
	refuses 1 'is this host' query-lighthouse 10.42.0.1
	says 'cidr: \[10.42.0.1/16\]' device-info
	says "$("$M57" -version 2>/dev/null | sed -n 's/^Version: //p')" version
	says '^why +ADDRESS' help
	says '^why +ADDRESS' why -help
	local command
	for command in status list-hostmap list-pending-hostmap list-lighthouse-addrmap 'print-tunnel 10.42.0.2' \
		print-cert 'drops -interval 0' counters version help 'why 10.42.0.2' device-info log-level; do
		# shellcheck disable=SC2086
		valid $command
	done
}

@test "drops are counted by reason, with rates" {
	nodes_make "$M57" "$M57"
	in_ns b ping -c 2 -i 0.01 -W 1 10.42.0.1 >/dev/null
	in_ns b bash -c 'for i in 1 2 3; do echo >/dev/udp/10.42.0.1/9; done'
	says '^firewall_no_rule +3 +' drops -interval 0
	says '^firewall_no_rule +3 +0.0 +no rule' drops -interval 0.2
}

counter() {
	ctl -json counters | python3 -c 'import json, sys
print(next(row["count"] for row in json.load(sys.stdin) if row["name"] == sys.argv[1]))' "$1"
}

# kernel_dropped: of a's tun, and of the sockets on port 4242 (0x1092), as the kernel has it
kernel_dropped() {
	in_ns a ip -s -j link show tun-a | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["stats64"]["tx"]["dropped"])'
	in_ns a cat /proc/net/udp | awk '$2 ~ /:1092$/ { n += $NF } END { print n + 0 }'
}

# send_many SIDE ADDRESS PORT
send_many() {
	in_ns "$1" python3 -c 'import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(60000):
    s.sendto(b"x" * 64, (sys.argv[1], int(sys.argv[2])))' "$2" "$3"
}

@test "what the kernel drops before a worker sees it is counted" {
	local before tun udp
	nodes_make "$M57" "$M57"
	before=$(kernel_dropped | head -1)
	[ "$(counter kernel_tun_dropped)" = 0 ]
	[ "$(counter kernel_udp_dropped)" = 0 ]
	kill -STOP "${NODE_PID[a]}"
	send_many a 10.42.0.2 9
	send_many b 192.0.2.1 4242
	{ read -r tun; read -r udp; } < <(kernel_dropped)
	kill -CONT "${NODE_PID[a]}"
	echo "tun $before $tun, udp $udp"
	[ "$tun" -gt $((before + 1000)) ]
	[ "$udp" -gt 1000 ]
	[ "$(counter kernel_tun_dropped)" = $((tun - before)) ]
	[ "$(counter kernel_udp_dropped)" = "$udp" ]
	node_end a
	grep -q "msg=Counters.* kernel_tun_dropped=$((tun - before)) .*kernel_udp_dropped=$udp " "$PAIR_DIR/a.log"
}

@test "which flows were refused, on both sides" {
	nodes_make "$M57" "$M57"
	in_ns b ping -c 2 -i 0.01 -W 1 10.42.0.1 >/dev/null
	lacks . list-refused
	in_ns b bash -c 'exec 9>/dev/udp/10.42.0.1/9; for i in 1 2 3; do echo >&9; done'
	in_ns a bash -c 'echo >/dev/udp/10.42.77.7/53' || true
	says '^in +udp +10.42.0.2:[0-9]+ +10.42.0.1:9 +b +firewall_no_rule +3 +[0-9.]+$' list-refused
	valid list-refused
}

# fields_told: stdin is one line of JSON, and the README of m57ctl names each field that is no address or counter
fields_told() {
	python3 -c '
import json, sys
told = open(sys.argv[1]).read()
def look(value):
    for name in value if isinstance(value, dict) else ():
        assert f"`{name}`" in told or name[0].isdigit() or "_" in name, name
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        look(inner)
text = sys.stdin.read()
assert text.count("\n") == 1
look(json.loads(text))' "$BATS_TEST_DIRNAME/../../control/ctl/README.md"
}

@test "each command answers in JSON, on one line, all its fields told" {
	local -A with=([change-remote]="-address 192.0.2.2:4242 10.42.0.2" [close-tunnel]=10.42.0.2
		[create-tunnel]=10.42.0.2 [drops]="-interval 0" [print-cert]=10.42.0.2 [print-tunnel]=10.42.0.2
		[query-lighthouse]=10.42.0.2 [why]="10.42.0.2 tcp 22")
	local command commands
	nodes_make "$M57" "$M57"
	commands=$(ctl -json help | python3 -c 'import json, sys; print(*(c["name"] for c in json.load(sys.stdin)))')
	[ "$(wc -w <<<"$commands")" -ge 20 ]
	for command in $commands; do
		# shellcheck disable=SC2086
		ctl -json $command ${with[$command]:-} | fields_told || { echo "$command"; return 1; }
		[ "$command" != create-tunnel ] || wait_for 5 says '^\[10.42.0.2\]' list-hostmap
	done
}

# json_error CODE TEXT COMMAND...: the command fails, says so on stderr, and stdout is one line of JSON with both
json_error() {
	local code=$1 text=$2 got=0
	shift 2
	"$@" >"$PAIR_DIR/out" 2>"$PAIR_DIR/err" </dev/null || got=$?
	echo "$*: $got:"
	cat "$PAIR_DIR/out" "$PAIR_DIR/err"
	[ "$got" = "$code" ] || return 1
	grep -q -e "$text" "$PAIR_DIR/err" || return 1
	python3 -c '
import json, sys
text = sys.stdin.read()
answer = json.loads(text)
assert text.count("\n") == 1, text
assert sorted(answer) == ["error", "status"], answer
assert sys.argv[2] in answer["error"] and answer["status"] == int(sys.argv[1]), answer' "$code" "$text" <"$PAIR_DIR/out"
}

@test "an error is JSON too with -json, on stdout, and text on stderr as without" {
	local odd
	nodes_make "$M57" "$M57"
	json_error 1 'Could not find tunnel' ctl -json print-tunnel 10.42.0.7
	json_error 1 'did not understand: nonsense' ctl nonsense -json
	json_error 1 'usage: status' ctl -json status extra
	json_error 2 'wrong usage: -nonsense' ctl -nonsense status -json
	json_error 2 'wrong usage: -interval' ctl -json -interval x drops
	json_error 2 'no command' ctl -json
	json_error 3 'No such file' "$CTL" -socket "$PAIR_DIR/none.sock" -json status
	json_error 3 'no socket in /run/m57' unshare -m sh -c 'mount -t tmpfs none /run && exec "$@"' - "$CTL" -json status
	json_error 3 'choose by -socket' unshare -m sh -c \
		'mount -t tmpfs none /run && mkdir /run/m57 && : >/run/m57/a.sock && : >/run/m57/b.sock && exec "$@"' - \
		"$CTL" -json status
	grep -q /run/m57/b.sock "$PAIR_DIR/err"
	grep -q /run/m57/b.sock "$PAIR_DIR/out"
	# what is no UTF-8 is still JSON
	odd=$(printf '/n\377')
	run ctl -socket "$odd" -json status
	[ "$status" = 3 ]
	ctl -socket "$odd" -json status 2>/dev/null | python3 -c 'import json, sys; assert json.load(sys.stdin)["status"] == 3'
	# several lines of the daemon's are one text
	echo 'tun: {mtu: none}' >>"$PAIR_DIR/a.yml"
	json_error 1 'nothing has changed' ctl -json reload
	# -pretty is for errors as well; without -json stdout stays empty
	[ "$(ctl -pretty print-tunnel 10.42.0.7 2>/dev/null | wc -l)" = 4 ]
	[ -z "$(ctl print-tunnel 10.42.0.7 2>/dev/null)" ]
}

@test "what shall be: create, change, close, log level" {
	nodes_make "$M57" "$M57"
	says 'Tunnel already exists' create-tunnel 10.42.0.2
	says Changed change-remote -address 192.0.2.2:4242 10.42.0.2
	refuses 1 'valid address' change-remote -address 192.0.2.2 10.42.0.2
	refuses 1 'is an address of the overlay' change-remote -address 10.42.0.2:4242 10.42.0.2
	refuses 1 'is an address of the overlay' create-tunnel -address 10.42.0.2:4242 10.42.0.9
	for nowhere in 0.0.0.0 255.255.255.255 224.0.0.1 '[::]' '[ff02::1]'; do
		refuses 1 'no host can be at' change-remote -address "$nowhere:4242" 10.42.0.2
		refuses 1 'no host can be at' create-tunnel -address "$nowhere:4242" 10.42.0.9
	done
	refuses 1 'is no host: it is the address of a network' create-tunnel 10.42.0.0
	refuses 1 'is no host: it is the broadcast address' create-tunnel 10.42.255.255
	says Closed close-tunnel 10.42.0.2
	lacks 10.42.0.2 list-hostmap
	wait_for 2 grep -q 'Close tunnel received' "$PAIR_DIR/b.log"
	refuses 1 'Could not find tunnel' close-tunnel 10.42.0.2
	says Created create-tunnel 10.42.0.2
	wait_for 2 says '^\[10.42.0.2\]' list-hostmap
	ping_overlay a
	says Closed close-tunnel -local-only 10.42.0.2
	says Created create-tunnel -address 192.0.2.99:4242 10.42.0.9
	says '^\[10.42.0.9\] +\[192.0.2.99:4242\]' list-pending-hostmap
	says 'Tunnel already handshaking' create-tunnel 10.42.0.9
	refuses 1 'is this host' create-tunnel 10.42.0.1
	refuses 1 'in none of this host.s networks' create-tunnel 10.43.0.9
	grep -q 'msg="Told by m57ctl" arguments="-local-only 10.42.0.2" command=close-tunnel' "$PAIR_DIR/a.log"
	says 'Log level is: debug' log-level debug
	says 'Log level is: debug' log-level
	refuses 1 'unknown log level' log-level loud
	refuses 1 'did not understand: nonsense' nonsense
	refuses 2 Usage -nonsense
	refuses 2 Usage -interval x drops
	refuses 2 'wrong usage: -socket' -socket '' status
	refuses 2 'wrong usage: -interval' status -interval 1
	refuses 1 'usage: status' status extra
	ping_overlay a
}

@test "help needs no daemon, where there is none" {
	run unshare -m sh -c 'mount -t tmpfs none /run && exec "$@"' - "$CTL" help
	echo "$status: $output"
	[ "$status" = 0 ]
	grep -qE '^  why +ADDRESS \[tcp\|udp PORT' <<<"$output"
	run unshare -m sh -c 'mount -t tmpfs none /run && exec "$@"' - "$CTL" status
	[ "$status" = 3 ]
}

@test "a reload that takes a default for what it cannot read says so" {
	nodes_make "$M57" "$M57"
	lacks punchy reload
	echo 'punchy: {punch: maybe}' >>"$PAIR_DIR/a.yml"
	says 'punchy.punch' reload
}

@test "a value that is cut inside a character is told all the same" {
	local value=a$(printf '𝄞%.0s' {1..40})
	nodes_make "$M57" "$M57"
	echo "punchy: {punch: $value}" >>"$PAIR_DIR/a.yml"
	says 'punchy.punch: "a' reload
	says 'punchy.punch: "a' status
	sed -i "s/^cipher: .*/cipher: $value/" "$PAIR_DIR/a.yml"
	refuses 1 'cipher' reload
	says 'text: .*cipher' status
	refuses 1 'did not understand: a' "$value"
}

@test "clients that never read, never write, or come by the thousand disturb nobody" {
	nodes_make "$M57" "$M57"
	timeout 60 python3 - "$PAIR_DIR/a.sock" >"$PAIR_DIR/clients" 2>&1 <<-'PY' &
		import json, socket, sys, time
		def client():
		    s = socket.socket(socket.AF_UNIX)
		    s.settimeout(30)
		    end = time.monotonic() + 30
		    while True:
		        try:
		            s.connect(sys.argv[1])
		            return s
		        except BlockingIOError: # the backlog is full: we are quicker than it accepts
		            assert time.monotonic() < end
		            time.sleep(0.001)
		request = b'{"command":"help"}\n'
		def refused(s):
		    try:
		        return s.recv(1) == b""
		    except ConnectionError:
		        return True
		deaf = client()
		deaf.setblocking(False)
		sent = 0
		try:
		    while sent < 50000000:
		        sent += deaf.send(request * 100)
		except (BlockingIOError, ConnectionError):
		    pass
		assert sent < 50000000, "it is heard although it does not read"
		long = client()
		long.sendall(b"x" * 4096)
		assert b"too long" in long.recv(1000) and refused(long)
		for i in range(1000):
		    s = client()
		    s.sendall(request)
		    assert json.loads(s.makefile().readline())["ok"]
		held = [client() for i in range(1000)]
		last = client()
		last.sendall(request)
		assert json.loads(last.makefile().readline())["ok"]
		assert refused(held[0])
		print("done")
	PY
	local clients=$!
	in_ns a ping -i 0.01 -c 200 -W 1 -q 10.42.0.2
	wait $clients || { cat "$PAIR_DIR/clients"; false; }
	grep -q done "$PAIR_DIR/clients"
	says '^tunnels: 1$' status
	says '^ctl_dropped_clients +[0-9]{3}' counters
	[ "$(ls "/proc/${NODE_PID[a]}/fd" 2>/dev/null | wc -l)" -lt 100 ]
}

@test "a client that does not speak is dropped after 10 s" {
	nodes_make "$M57" "$M57"
	run timeout 20 python3 -c '
import socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
begin = time.time()
assert s.recv(1) == b""
print(time.time() - begin)
assert 9 < time.time() - begin < 15' "$PAIR_DIR/a.sock"
	echo "$output"
	[ "$status" = 0 ]
}

# fake_daemon [ANSWER]...: each is what one connection gets; then, and without any, it hangs up at once
fake_daemon() {
	rm -f "$PAIR_DIR/a.sock"
	timeout 30 python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(64)
for answer in sys.argv[2:]:
    c, _ = s.accept()
    c.recv(4096)
    c.sendall(answer.encode() + b"\n")
    c.close()
while True:
    s.accept()[0].close()' "$PAIR_DIR/a.sock" "$@" 3>&- &
	FAKE=$!
	wait_for 5 test -S "$PAIR_DIR/a.sock"
}

@test "m57ctl and a daemon that hangs up: exit 3, and never half a list" {
	local row='{"vpnAddrs":["10.42.0.2"],"state":"live"}'
	fake_daemon
	for ((i = 0; i < 50; i++)); do
		refuses 3 'no answer' status
	done
	kill "$FAKE"
	fake_daemon "{\"ok\":true,\"result\":{\"rows\":[$row],\"more\":true,\"last\":\"10.42.0.2\"}}"
	refuses 3 'no answer' list-hostmap
	[ "$(grep -c live <<<"$output")" = 0 ]
	kill "$FAKE"
	fake_daemon "{\"ok\":true,\"result\":{\"rows\":[$row],\"more\":true,\"last\":\"10.42.0.2\"}}" '{"ok":false}'
	json_error 3 'no answer' ctl -json list-hostmap
	kill "$FAKE"
	# a column that the second row lacks
	fake_daemon "{\"ok\":true,\"result\":[$row,{\"vpnAddrs\":[\"10.42.0.3\"]}]}"
	says '^\[10.42.0.3\]' list-pending-hostmap
	kill "$FAKE"
	fake_daemon '{"ok":true,"result":"here I am"}'
	run bash -c "'$CTL' -socket '$PAIR_DIR/a.sock' status 2>&1 >/dev/full"
	[ "$status" = 1 ]
	grep -q 'could not be written: No space left' <<<"$output"
	kill "$FAKE"
	refuses 2 'too long' why "$(printf '%05000d' 0)"
}

@test "the socket is private, replaced when stale, gone at the end" {
	nodes_make "$M57" "$M57"
	[ "$(stat -c %a "$PAIR_DIR/a.sock")" = 600 ]
	run python3 -c '
import os, socket, sys
folder = os.path.dirname(sys.argv[1])
while len(folder) > 4: # no folder is the obstacle, the socket is
    os.chmod(folder, os.stat(folder).st_mode | 0o111)
    folder = os.path.dirname(folder)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
os.stat(sys.argv[1])
try:
    socket.socket(socket.AF_UNIX).connect(sys.argv[1])
except PermissionError:
    sys.exit(77)' "$PAIR_DIR/a.sock"
	echo "$output"
	[ "$status" = 77 ]
	node_end a KILL || true
	[ -S "$PAIR_DIR/a.sock" ]
	refuses 3 'nobody listens' version
	node_start a
	wait_for 5 says . version
	node_end a
	[ ! -e "$PAIR_DIR/a.sock" ]
	refuses 3 'No such file' version
}

@test "m57.ctl: false and an empty text make none; one that cannot be made is a warning" {
	local value
	for value in false '""' /nonexistent/folder/a.sock; do
		rm -f "$PAIR_DIR/a.log"
		config_write a ctl="$value"
		node_start a
		wait_for 5 grep -q 'interface is active' "$PAIR_DIR/a.log"
		[ ! -e "$PAIR_DIR/a.sock" ]
		if [ "$value" = /nonexistent/folder/a.sock ]; then
			grep -q 'level=warning msg="cannot make the control socket /nonexistent/folder/a.sock' "$PAIR_DIR/a.log"
		else
			[ "$(grep -c warning "$PAIR_DIR/a.log")" = 0 ]
		fi
		node_end a
	done
}

@test "without m57.ctl the socket is named after the device" {
	config_write a
	sed -i '/^m57:/d; s/dev: tun-a/dev: m57-'"$BASHPID"'/' "$PAIR_DIR/a.yml"
	node_start a
	wait_for 5 test -S "/run/m57/m57-$BASHPID.sock"
	timeout 5 "$CTL" -socket "/run/m57/m57-$BASHPID.sock" version
	node_end a
	[ ! -e "/run/m57/m57-$BASHPID.sock" ]
}
