# What a worker may not do: allocate, or make any system call but io_uring_enter. Each check has a
# planted violation (alloc_watch.c) that it must find.
bats_require_minimum_version 1.5.0
load lib

watch_allocations() {
	needs_plain_build
	WATCH=$PAIR_DIR/allocations
	truncate -s 4096 "$WATCH"
	NODE_ENV=("LD_PRELOAD=$B/tests/netns/alloc_watch.so" "M57_ALLOC_WATCH=$WATCH" "$@")
}

allocations() {
	od -An -t u8 -N 8 "$WATCH" | tr -d ' '
}

# workers_trace SIDE: what the threads named m57-w* called in about a second, one name per line
workers_trace() {
	local pid=${NODE_PID[$1]} task
	rm -f "$PAIR_DIR"/trace*
	timeout -s INT 1.5 strace -ff -qq -o "$PAIR_DIR/trace" -p "$pid" 2>/dev/null 3>&- || true
	for task in "/proc/$pid/task"/*; do
		case "$(cat "$task/comm")" in m57-w*) cat "$PAIR_DIR/trace.${task##*/}" ;; esac
	done | sed -nE 's/^([a-z_0-9]+)\(.*/\1/p; s/^<\.\.\. ([a-z_0-9]+) resumed.*/\1/p' | sort | uniq -c
}

may_trace() {
	strace -qq -o /dev/null true 2>/dev/null || skip "needs strace and permission to trace"
}

@test "no allocation in a worker while 10,000 flows open and expire" {
	local before after
	watch_allocations
	nodes_make "$M57" "$M57" routines=2 inbound="[{port: any, proto: any, group: demo}]"
	sed -i 's/conntrack: .*/conntrack: {tcp_timeout: 5s, udp_timeout: 1s, default_timeout: 1s}/' "$PAIR_DIR"/?.yml
	node_end a
	node_end b
	node_start a
	node_start b
	tunnel_wait a
	before=$(allocations)
	iperf_serve b
	in_ns a "$BLAST" send "${OVERLAY[b]}" 10000 --ports 10000 --packets 20000 --rate 10000
	tcp_passes a
	# the transfer took longer than the flows live: the same ones come again
	in_ns a "$BLAST" send "${OVERLAY[b]}" 10000 --ports 10000 --packets 20000 --rate 10000
	after=$(allocations)
	echo "allocations before $before, after $after"
	[ "$before" = "$after" ]
	kill -USR1 "${NODE_PID[b]}"
	wait_for 2 grep -qE 'conntrack_new[" :=]+[0-9]{5,}' "$PAIR_DIR/b.log"
}

@test "planted: an allocating worker is found" {
	local before
	watch_allocations M57_PLANT_VIOLATION=1
	nodes_make "$M57" "$M57"
	before=$(allocations)
	tunnel_wait a
	wait_for 2 test "$(allocations)" -gt 0
	[ "$(allocations)" -gt 0 ]
}

@test "a worker's only system call is io_uring_enter" {
	local calls
	may_trace
	needs_plain_build
	nodes_make "$M57" "$M57" routines=2
	load_begin
	calls=$(workers_trace a; workers_trace b)
	load_end
	echo "$calls"
	grep -q io_uring_enter <<<"$calls"
	[ -z "$(grep -vE ' (io_uring_enter|restart_syscall)$' <<<"$calls")" ]
}

@test "planted: a worker that makes another system call is found" {
	may_trace
	needs_plain_build
	NODE_ENV=("LD_PRELOAD=$B/tests/netns/alloc_watch.so" M57_PLANT_VIOLATION=1)
	nodes_make "$M57" "$M57"
	workers_trace a | grep -q getppid
}

# allowed_cpus SIDE WORKER: as the kernel has it
allowed_cpus() {
	local task
	for task in "/proc/${NODE_PID[$1]}/task"/*; do
		[ "$(cat "$task/comm")" != "$2" ] || sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' "$task/status"
	done
}

@test "with cpu_affinity workers stay on their CPUs, and nothing else of the node does" {
	taskset -c 1 true 2>/dev/null || skip "needs CPU 1"
	nodes_make "$M57" "$M57" routines=2 tun_extra="  cpu_affinity: [1]"
	[ "$(allowed_cpus a m57-w0)" = 1 ]
	[ "$(allowed_cpus a m57-w1)" = 1 ]
	[ "$(allowed_cpus a m57)" != 1 ]
	grep -q 'Workers stay on their CPUs.*1 1' "$PAIR_DIR/a.log"
	iperf_serve b
	tcp_passes a
}

@test "pin_threads gives each worker a CPU of its own; without it two CPUs are too few" {
	taskset -c 0,1 true 2>/dev/null && [ "$(nproc)" -lt 4 ] || skip "needs 2 or 3 CPUs"
	nodes_make "$M57" "$M57" routines=auto
	[ "$(allowed_cpus a m57-w1)" = "$(allowed_cpus a m57)" ]
	node_end a
	config_write a routines=2 tun_extra="  pin_threads: true"
	node_start a
	tunnel_wait a
	[[ $(allowed_cpus a m57-w0) =~ ^[0-9]+$ ]]
	[[ $(allowed_cpus a m57-w1) =~ ^[0-9]+$ ]]
	[ "$(allowed_cpus a m57-w0)" != "$(allowed_cpus a m57-w1)" ]
}

@test "a node of two queues stays below 48 MB, one of one queue below 32 MB" {
	needs_plain_build
	nodes_make "$M57" "$M57" routines=2
	iperf_serve b
	tcp_passes a
	tcp_passes a -R -P 4
	udp_passes a 64 50000 50000 1
	echo "two queues: $(node_memory a) kB, $(node_memory b) kB"
	[ "$(node_memory a)" -le $((48 * 1024)) ]
	[ "$(node_memory b)" -le $((48 * 1024)) ]
	node_end a
	node_end b
	nodes_make "$M57" "$M57" routines=1
	tcp_passes a
	udp_passes a 64 50000 50000 1 128 # it leaves the queue of sparse flows: sparse.bats
	echo "one queue: $(node_memory a) kB, $(node_memory b) kB"
	[ "$(node_memory a)" -le $((32 * 1024)) ] && [ "$(node_memory b)" -le $((32 * 1024)) ]
}
