# What stops a start, each with one line and exit code 1, and what a node does at its edges.
bats_require_minimum_version 1.5.0
load lib

# one_error PATTERN: the output has exactly one error, and it says so
one_error() {
	echo "$output"
	[ "$(grep -c 'level=error' <<<"$output")" = 1 ]
	grep 'level=error' <<<"$output" | grep -qE "$1"
}

# without_tun_file [capsh options]: starts a in a mount namespace whose /dev/net is empty
without_tun_file() {
	config_write a
	run in_ns a timeout -s TERM 2 unshare -m sh -c \
		'mount -t tmpfs none /dev/net && exec capsh "$@"' sh "$@" -- -c "exec $M57 -config $PAIR_DIR/a.yml"
}

@test "no /dev/net/tun and no right to make it: one line, exit 1" {
	without_tun_file --drop=cap_mknod
	[ "$status" = 1 ]
	one_error '/dev/net/tun.*mknod'
}

@test "a worker's ring cannot be enabled: one line, exit 1, at once" {
	needs_plain_build
	config_write a routines=2
	run in_ns a timeout -s KILL 10 env LD_PRELOAD="$B/tests/netns/kernel_refuses.so" M57_REFUSES=ring \
		"$M57" -config "$PAIR_DIR/a.yml"
	echo "$output"
	[ "$status" = 1 ]
	grep -qE "level=error msg=\"A worker's io_uring cannot be started\".*Cannot allocate memory.*queue=0" <<<"$output"
	grep -qE "level=error msg=\"A worker's io_uring cannot be started\".*queue=1" <<<"$output"
	! grep -q 'Nebula interface is active' <<<"$output"
}

@test "no /dev/net/tun: it is made" {
	without_tun_file
	grep -q 'Nebula interface is active' <<<"$output"
}

@test "io_uring denied: one line, exit 1" {
	needs_plain_build
	config_write a
	for failure in EPERM ENOSYS; do
		run -1 in_ns a strace -f -o /dev/null -e trace=io_uring_setup \
			-e inject=io_uring_setup:error=$failure "$M57" -config "$PAIR_DIR/a.yml"
		one_error 'io_uring.*(allow|use Linux)'
		# a profile that lets the ring be made and nothing be done with it
		run -1 in_ns a strace -f -o /dev/null -e trace=io_uring_register \
			-e inject=io_uring_register:error=$failure "$M57" -config "$PAIR_DIR/a.yml"
		one_error 'io_uring.*; allow all io_uring system calls'
	done
}

@test "io_uring without memory or descriptors: one line that names the limit, exit 1" {
	needs_plain_build
	config_write a
	for failure in 'ENOMEM locked memory' 'EMFILE open files'; do
		run -1 in_ns a strace -f -o /dev/null -e trace=io_uring_setup \
			-e inject=io_uring_setup:error=${failure%% *} "$M57" -config "$PAIR_DIR/a.yml"
		one_error "io_uring.*raise the limit of ${failure#* }"
	done
}

# Whatever is opened last: with one descriptor more each time, until the node starts. The loader needs 5.
@test "too few descriptors: one line that says so, exit 1" {
	needs_plain_build
	config_write a routines=1
	local limit
	for ((limit = 6; limit < 40; limit++)); do
		run in_ns a timeout -s TERM 2 prlimit --nofile=$limit "$M57" -config "$PAIR_DIR/a.yml"
		[ "$status" = 1 ] || break
		one_error 'Too many open files'
	done
	[ "$limit" -gt 10 ]
	grep -q 'Nebula interface is active' <<<"$output"
}

@test "tier none: one line, exit 1" {
	config_write a
	run -1 in_ns a env M57_TIER=none "$M57" -config "$PAIR_DIR/a.yml"
	one_error 'M57_TIER'
}

@test "an address that is not ours: one line, exit 1, and no tun is left" {
	config_write a
	sed -i 's/host: 0.0.0.0/host: 198.51.100.7/' "$PAIR_DIR/a.yml"
	run -1 in_ns a "$M57" -config "$PAIR_DIR/a.yml"
	one_error 'listen.host.*config=.*a.yml:[0-9]+'
	run ! in_ns a ip link show tun-a
}

@test "flags: unknown is 2, no config is 1, help and version are 0" {
	cp "$M57" "$PAIR_DIR/m57"
	run -2 "$PAIR_DIR/m57" -nonsense
	grep -q 'flag provided but not defined: -nonsense' <<<"$output"
	run -1 "$PAIR_DIR/m57"
	grep -q 'config flag must be set' <<<"$output"
	run -0 "$PAIR_DIR/m57" --help
	run -0 "$PAIR_DIR/m57" -version
	grep -q '^Version: ' <<<"$output"
	run -1 "$PAIR_DIR/m57" -config="$PAIR_DIR/none.yml"
	grep -q 'none.yml' <<<"$output"
	config_write a
	mv "$PAIR_DIR/a.yml" "$PAIR_DIR/config.yml"
	run -0 "$PAIR_DIR/m57" -test
}

@test "an idle node sleeps" {
	node_make a "$M57"
	wait_for 5 grep -q 'interface is active' "$PAIR_DIR/a.log"
	sleep 0.3 # what the kernel itself sends over a new interface comes first
	switches() {
		cat /proc/"${NODE_PID[a]}"/task/*/status | awk '/^voluntary/ { n += $2 } END { print n }'
	}
	local before after
	before=$(switches)
	sleep 2
	after=$(switches)
	echo "waked $((after - before)) times"
	[ "$after" = "$before" ]
}

@test "the tun is deleted under a running node: one line, exit 2" {
	nodes_make "$M57" "$M57"
	ip -n "${NS[a]}" link del tun-a
	wait_for 5 process_ended "${NODE_PID[a]}"
	local code=0
	wait "${NODE_PID[a]}" || code=$?
	[ $code = 2 ]
	[ "$(grep -c 'level=error' "$PAIR_DIR/a.log")" = 1 ]
}

# persistent_pair QUEUES SPARSE: QUEUES is a word for ip tuntap, SPARSE what the log says then
persistent_pair() {
	# shellcheck disable=SC2086
	in_ns a ip tuntap add dev tun-a mode tun $1
	config_write a routines=1
	config_write b routines=1
	: >"$PAIR_DIR/a.log"
	node_start a
	node_start b
	tunnel_wait a
	grep -q "interface is active.*sparseQueue=$2" "$PAIR_DIR/a.log"
	sed 's/port: 4242$/port: 4343/; s/a\.sock/a2.sock/' "$PAIR_DIR/a.yml" >"$PAIR_DIR/a2.yml"
	run -1 in_ns a "$M57" -config "$PAIR_DIR/a2.yml"
	one_error 'tun-a.*busy.*another process'
	ping_overlay a
	node_end a
	node_end b
	in_ns a ethtool -k tun-a | grep -q '^tcp-segmentation-offload: off'
}

@test "a persistent tun device is taken when it is free, and left as it was" {
	persistent_pair '' no
	config_write a routines=2
	run -1 in_ns a "$M57" -config "$PAIR_DIR/a.yml"
	one_error 'tun-a.*multi_queue'
	in_ns a ip tuntap del dev tun-a mode tun
	persistent_pair multi_queue yes
	in_ns a ip tuntap del dev tun-a mode tun multi_queue
	in_ns a ip link add tun-a type veth peer name other
	run -1 in_ns a "$M57" -config "$PAIR_DIR/a.yml"
	one_error 'tun-a.*busy.*another process or interface'
}

# busy_start SPARSE: a second node at tun-a; WAITS is how often it slept before it gave up
busy_start() {
	config_write a routines=1 sparse="$1" ctl="$PAIR_DIR/a2.sock"
	sed 's/port: 4242$/port: 4343/' "$PAIR_DIR/a.yml" >"$PAIR_DIR/a2.yml"
	run -1 in_ns a strace -f -o "$PAIR_DIR/trace" -e trace=clock_nanosleep "$M57" -config "$PAIR_DIR/a2.yml"
	one_error 'tun-a.*busy.*another process.*config=.*a2.yml:[0-9]+'
	WAITS=$(grep -c 'tv_nsec=50000000' "$PAIR_DIR/trace")
}

@test "a busy tun device that was made with one queue is waited for once" {
	needs_plain_build
	local once
	in_ns a ip tuntap add dev tun-a mode tun
	config_write a routines=1
	node_start a
	wait_for 5 grep -q 'interface is active.*sparseQueue=no' "$PAIR_DIR/a.log"
	busy_start false
	once=$WAITS
	busy_start true
	echo "$once sleeps without a queue for sparse flows, $WAITS with one"
	[ "$once" -gt 1 ] && [ "$WAITS" = "$once" ]
}

# ends_at_once [LAUNCHER...]: a node that waits for tun-a, which another has, ends by SIGTERM
ends_at_once() {
	local pid node status=0
	ip netns exec "${NS[a]}" "$@" "$M57" -config "$PAIR_DIR/a2.yml" 2>"$PAIR_DIR/a2.log" &
	pid=$!
	wait_for 5 sleeps_as_m57 $pid
	kill "$node"
	wait "$pid" || status=$?
	[ "$status" = $((128 + 15)) ] && ! grep busy "$PAIR_DIR/a2.log"
}

# sleeps_as_m57 PID: it or its only child is m57 and sleeps; node is its number
sleeps_as_m57() {
	node=$(pgrep -P "$1") || node=$1
	grep -q m57 "/proc/$node/comm" && grep -q nanosleep "/proc/$node/wchan"
}

@test "a start that waits for a busy tun device ends by SIGTERM" {
	local sparse
	config_write a routines=1
	node_start a
	wait_for 5 grep -q 'interface is active' "$PAIR_DIR/a.log"
	for sparse in true false; do
		config_write a routines=1 sparse=$sparse ctl="$PAIR_DIR/a2.sock"
		sed 's/port: 4242$/port: 4343/' "$PAIR_DIR/a.yml" >"$PAIR_DIR/a2.yml"
		ends_at_once
		ends_at_once unshare --pid --fork # as a container's first process, whose signals the kernel drops by default
	done
}

@test "tun.disabled: no device, and the handshake still works" {
	config_write a tun_extra="  disabled: true"
	config_write b
	node_start a
	node_start b
	wait_for 5 grep -q 'interface is active' "$PAIR_DIR/a.log"
	wait_for 5 grep -q 'interface is active' "$PAIR_DIR/b.log"
	run ! in_ns a ip link show tun-a
	ping_overlay b || true
	wait_for 5 grep -q 'Handshake message received' "$PAIR_DIR/b.log"
	node_end a
}

@test "routes with their own MTU, unsafe routes, and a port that the kernel chooses" {
	config_write a tun_extra='  routes: [{mtu: 1400, route: 10.42.7.0/24}]
  unsafe_routes: [{route: 198.18.0.0/15, via: 10.42.0.2, mtu: 1200, metric: 77}, {route: 203.0.113.0/24, via: 10.42.0.2, install: false}]'
	sed -i 's/port: 4242$/port: 0/' "$PAIR_DIR/a.yml"
	node_start a
	wait_for 5 grep -q 'interface is active' "$PAIR_DIR/a.log"
	run in_ns a ip route
	echo "$output"
	grep -q '^10.42.0.0/16 dev tun-a .*scope link src 10.42.0.1 mtu 1300 advmss 1260' <<<"$output"
	grep -q '^10.42.7.0/24 dev tun-a .*scope link' <<<"$output"
	grep -q '^198.18.0.0/15 dev tun-a .*metric 77 mtu 1200 advmss 1160' <<<"$output"
	[[ $output != *203.0.113* ]]
	in_ns a ip link show tun-a | grep -q 'mtu 1400'
	# two sockets, one port
	[ "$(in_ns a ss -Hlun | awk '{ print $4 }' | sort -u | wc -l)" = 1 ]
	[ "$(in_ns a ss -Hlun | wc -l)" = 2 ]
	node_end a
}

# What keeps a node from starting may go by itself: a clock that is not set yet, an address that comes later.
@test "the systemd unit is accepted, and tries again however often a start has failed" {
	local unit=$BATS_TEST_TMPDIR/m57@config.service
	sed "s|@BINDIR@|$B|" "$REPO/scripts/dist/m57@.service" >"$unit"
	grep -q '^Restart=on-failure$' "$unit"
	sed '/^\[Service\]/q' "$unit" | grep -q '^StartLimitIntervalSec=0$'
	if command -v systemd-analyze >/dev/null; then
		run -0 systemd-analyze verify --man=no "$unit"
		[ -z "$output" ]
	fi
}
