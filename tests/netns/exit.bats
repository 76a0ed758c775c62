# The end of a node: code 0, quickly, nothing left behind, also under load.
bats_require_minimum_version 1.5.0
load lib

gone() {
	! in_ns "$1" ip link show "tun-$1"
}

ends() {
	local signal=$1 code=0
	nodes_make "$M57" "$M57" routines=3
	load_begin
	node_end a "$signal" || code=$?
	echo "a ended with $code"
	[ $code = 0 ]
	gone a
	node_end b "$signal" || code=$?
	echo "b ended with $code"
	[ $code = 0 ]
	load_end
}

# Debian's nebula takes a busy tun for an error, when it is started in m57's place.
@test "the tun is free as soon as the process has ended" {
	local deadline=$((SECONDS + 10))
	nodes_make "$M57" "$M57" routines=1
	in_ns a ping -q -c 20 -i 0.01 "${OVERLAY[b]}"
	kill -TERM "${NODE_PID[a]}"
	until process_ended "${NODE_PID[a]}"; do # without a pause: the kernel needs 100 ms for a ring
		[ $SECONDS -lt $deadline ]
	done
	gone a
}

@test "SIGTERM under load" {
	ends TERM
}

@test "SIGINT under load" {
	ends INT
}

@test "tier 6.1: SIGTERM under load" {
	NODE_ENV=(M57_TIER=6.1)
	ends TERM
}

# What waited for the handshake is sent by orders, and until the last of them the queue stands still.
@test "a kernel that refuses some io_uring_enter stops no queue" {
	needs_plain_build
	local when
	node_make b "$M57" routines=2
	for when in 1+2 1+3 2+4 3+3 4+3; do
		NODE_ENV=(strace -f -o /dev/null -e trace=io_uring_enter
			-e "inject=io_uring_enter:error=ENOMEM:when=$when")
		node_make a "$M57" routines=2
		NODE_ENV=()
		tunnel_wait a
		in_ns a ping -q -c 20 -i 0.02 -W 2 "${OVERLAY[b]}"
		kill -TERM "$(pgrep -P "${NODE_PID[a]}")"
		wait_for 5 process_ended "${NODE_PID[a]}"
		wait "${NODE_PID[a]}"
	done
}

@test "SIGTERM while the kernel takes only every other io_uring_enter" {
	needs_plain_build
	NODE_ENV=(strace -f -o /dev/null -e trace=io_uring_enter
		-e inject=io_uring_enter:error=ENOMEM:when=30+2)
	node_make a "$M57" routines=2
	NODE_ENV=()
	node_make b "$M57" routines=2
	tunnel_wait a
	for _ in {1..20}; do # turns of control, of which the first 29 are not refused
		"$B/m57ctl" -socket "$PAIR_DIR/a.sock" status >/dev/null
	done
	kill -TERM "$(pgrep -P "${NODE_PID[a]}")"
	wait_for 5 process_ended "${NODE_PID[a]}"
	wait "${NODE_PID[a]}"
}

@test "SIGHUP changes nothing" {
	nodes_make "$M57" "$M57"
	kill -HUP "${NODE_PID[a]}"
	wait_for 2 grep -qiE 'hup|reload' "$PAIR_DIR/a.log"
	ping_sizes a
}

@test "SIGUSR1 prints the counters" {
	nodes_make "$M57" "$M57"
	kill -USR1 "${NODE_PID[a]}"
	wait_for 2 grep -q udp_sent_packets "$PAIR_DIR/a.log"
}

@test "signals that are nobody's do not end it" {
	nodes_make "$M57" "$M57"
	kill -USR2 "${NODE_PID[a]}"
	kill -ALRM "${NODE_PID[a]}"
	kill -PIPE "${NODE_PID[a]}"
	ping_sizes a
	node_end a TERM
}

@test "a log file that has reached the limit of its size ends no node, and is gone on with when there is room" {
	config_write a
	config_write b
	NODE_LOG[a]=$PAIR_DIR/a.log
	ip netns exec "${NS[a]}" prlimit --fsize=1000: "$M57" -config "$PAIR_DIR/a.yml" >>"$PAIR_DIR/a.log" 2>&1 </dev/null 3>&- &
	NODE_PID[a]=$!
	node_start b
	tunnel_wait a
	kill -HUP "${NODE_PID[a]}"
	kill -USR1 "${NODE_PID[a]}"
	wait_for 5 in_ns a ping -c 1 -W 1 -q "${OVERLAY[b]}"
	[ "$(stat -c %s "$PAIR_DIR/a.log")" = 1000 ]
	prlimit --fsize=unlimited --pid "${NODE_PID[a]}"
	node_end a TERM
	grep -q '^time=.*Log lines were lost.*error="File too large" lines=' "$PAIR_DIR/a.log"
	grep -q '^time=.*Goodbye' "$PAIR_DIR/a.log"
}

@test "without standard descriptors: what is opened next is not taken for them" {
	config_write a
	config_write b
	ip netns exec "${NS[a]}" "$M57" -config "$PAIR_DIR/a.yml" 0<&- 1>&- 2>&- 3>&- &
	NODE_PID[a]=$!
	node_start b
	wait_for 5 in_ns b ping -c 1 -W 1 -q "${OVERLAY[a]}"
	for fd in 0 1 2; do
		[ "$(readlink "/proc/${NODE_PID[a]}/fd/$fd")" = /dev/null ]
	done
	node_end a
}

@test "READY=1 goes to NOTIFY_SOCKET" {
	python3 - "$PAIR_DIR/notify" >"$PAIR_DIR/notified" 3>&- <<'PY' &
import socket, sys
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sock.bind(sys.argv[1])
sock.settimeout(15)
print(sock.recv(4096).decode(), flush=True)
PY
	local listener=$!
	wait_for 5 test -S "$PAIR_DIR/notify"
	NODE_ENV=(NOTIFY_SOCKET="$PAIR_DIR/notify")
	node_make a "$M57"
	wait "$listener"
	grep -q READY=1 "$PAIR_DIR/notified"
}

# refused PATTERN: the node a does not start: exit code 1, one line that says why
refused() {
	local code=0
	wait_for 10 process_ended "${NODE_PID[a]}"
	wait "${NODE_PID[a]}" || code=$?
	[ $code = 1 ]
	grep -qE "$1" "$PAIR_DIR/a.log"
}

@test "port in use: one line, exit 1" {
	in_ns a "$BLAST" sink 4242 --limit 20 >"$PAIR_DIR/holder" </dev/null 3>&- &
	wait_for 2 grep -q ready "$PAIR_DIR/holder"
	node_make a "$M57"
	refused 4242
}

@test "a second node cannot share the port" {
	node_make a "$M57"
	wait_for 5 in_ns a ip link show tun-a
	local first=${NODE_PID[a]}
	sed -i 's/tun-a/tun-second/' "$PAIR_DIR/a.yml"
	node_start a "$M57"
	refused 4242
	kill -0 "$first"
}

@test "tun name taken: one line, exit 1" {
	ip -n "${NS[a]}" link add tun-a type veth peer name tun-other
	node_make a "$M57"
	refused tun-a
}

@test "no capability: one line, exit 1" {
	config_write a
	chmod -R a+rX "$BATS_TEST_TMPDIR"
	chmod a+r "$PAIR_DIR/a.key"
	run -1 in_ns a setpriv --reuid=65534 --clear-groups --bounding-set=-all --inh-caps=-all "$M57" -config "$PAIR_DIR/a.yml"
	echo "$output"
	grep -qiE 'root|capab|CAP_NET_ADMIN|permi|permit' <<<"$output"
}

@test "test mode touches no network and names every mistake" {
	config_write a cipher=rot13 inbound="[{port: 99999, proto: any, host: any}]"
	run -1 "$M57" -config "$PAIR_DIR/a.yml" -test
	echo "$output"
	grep -q "a.yml:5.*rot13" <<<"$output"
	grep -q "99999" <<<"$output"
	config_write a
	run -0 "$M57" -config "$PAIR_DIR/a.yml" -test
}

# criterion_runs: the run has begun a program, whose number is in CHILD
criterion_runs() {
	CHILD=$(pgrep -P "$RUNNER") && [ -e "/tmp/criterion_$CHILD.sock" ]
}

@test "a test run that is told to end leaves nothing behind" {
	"$REPO/tests/run" sim_random >/dev/null 2>&1 </dev/null 3>&- &
	RUNNER=$!
	wait_for 20 criterion_runs
	kill -TERM $RUNNER
	wait $RUNNER || status=$?
	[ "$status" = 130 ]
	run ! kill -0 "$CHILD"
	[ ! -e "/tmp/criterion_$CHILD.sock" ]
}

test_writes_files() {
	compgen -G "$1/*/reload-keys-*/config.yml"
}

nothing_is_left() {
	[ -z "$(ls -A "$1")" ] && [ ! -e "/tmp/criterion_$2.sock" ]
}

@test "a test program that is killed leaves no file behind" {
	local folder="$BATS_TEST_TMPDIR/files" program
	mkdir "$folder"
	TMPDIR=$folder "$B/tests/unit-control" --filter '@(check|reload*)/*' >/dev/null 2>&1 </dev/null 3>&- &
	program=$!
	wait_for 20 test_writes_files "$folder"
	kill -KILL $program
	wait_for 20 nothing_is_left "$folder" $program
}
