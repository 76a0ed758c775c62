# One tunnel over several queues: its flows spread over the workers of both ends, each in order, and
# Debian's nebula at the other end notices nothing.
bats_require_minimum_version 1.5.0
load lib
. "$BATS_TEST_DIRNAME/per_queue.bash"

# one SIDE NAME: a counter or a drop reason, over all workers
one() {
	{ ctl "$1" counters -interval 0; ctl "$1" drops -interval 0; } | python3 -c '
import json, sys
rows = [r for line in sys.stdin for r in json.loads(line)]
print(next(r["count"] for r in rows if r["name"] == sys.argv[1]))' "$2"
}

moving() { # BEFORE AFTER: the numbers of the queues that moved, by 10 at least
	python3 -c '
import sys
a, b = (list(map(int, x.split())) for x in sys.argv[1:])
print(*(i for i in range(len(a)) if b[i] - a[i] >= 10))' "$1" "$2"
}

# ports_of_queues QUEUES: for each of the workers of b a port whose flow from port 7000 it owns, in
# PORT_OF. Which ones, only b's worker can tell: the hash has a key.
ports_of_queues() {
	local port before after queue
	PORT_OF=()
	for ((port = 5201; port < 5300 && ${#PORT_OF[@]} < $1; port++)); do
		before=$(per_queue b tun_written_packets)
		in_ns a "$BLAST" send "${OVERLAY[b]}" $port --from 7000 --packets 30 --rate 30000 >/dev/null
		wait_for 2 moved_since "$before"
		after=$(per_queue b tun_written_packets)
		queue=$(moving "$before" "$after")
		[[ $queue =~ ^[0-3]$ ]] || {
			echo "port $port moved queues: $queue"
			return 1
		}
		[ -n "${PORT_OF[$queue]:-}" ] || PORT_OF[queue]=$port
	done
	[ ${#PORT_OF[@]} = "$1" ]
}

moved_since() {
	[ -n "$(moving "$1" "$(per_queue b tun_written_packets)")" ]
}

# sink_good PID FILE LEAST: the sink has seen so many packets, all in order
sink_good() {
	local received disorder
	wait "$1" || true
	read -r _ received _ _ _ _ _ disorder < <(grep ^packets "$2")
	echo "${2##*/}: received $received, out of order $disorder"
	[ "${received:-0}" -ge "$3" ] && [ "$disorder" = 0 ]
}

sink_begin() { # FILE PORT [OPTIONS]
	local file=$1
	shift
	: >"$file"
	in_ns b "$BLAST" sink "$@" --limit 20 >"$file" </dev/null 3>&- &
	SINK=$!
	wait_for 5 grep -q ready "$file"
}

# a_flow_each: one for each worker of b, at the same time; each arrives whole and in order
a_flow_each() {
	local queue before after sinks=() senders=()
	before=$(per_queue b tun_written_packets)
	for queue in "${!PORT_OF[@]}"; do
		sink_begin "$PAIR_DIR/flow$queue" "${PORT_OF[$queue]}"
		sinks+=("$SINK")
	done
	for queue in "${!PORT_OF[@]}"; do
		in_ns a "$BLAST" send "${OVERLAY[b]}" "${PORT_OF[$queue]}" --from 7000 --bytes 1000 \
			--packets 8000 --rate 8000 --seconds 10 >/dev/null </dev/null 3>&- &
		senders+=($!)
	done
	wait "${senders[@]}"
	for queue in "${!PORT_OF[@]}"; do
		# a busy machine may lose some before they are read or after they are written
		sink_good "${sinks[$queue]}" "$PAIR_DIR/flow$queue" 7000
	done
	after=$(per_queue b tun_written_packets)
	echo "b's workers wrote: $before, then $after"
	[ "$(moving "$before" "$after")" = "${!PORT_OF[*]}" ]
}

@test "four flows of one tunnel use four queues, each in order" {
	nodes_make "$M57" "$M57" spread=true routines=4
	[ "$(ctl b status | python3 -c 'import json, sys; print(json.load(sys.stdin)["steering"])')" = label ]
	ports_of_queues 4
	a_flow_each
	[ "$(one b handed_over_packets)" = 0 ]
	[ "$(one a handed_over_packets)" = 0 ]
	[ "$(one b replay)" = 0 ]
}

@test "4,000 flows, each in order" {
	local sink before after
	nodes_make "$M57" "$M57" spread=true routines=4 inbound="[{port: any, proto: any, group: demo}]"
	before=$(per_queue b tun_written_packets)
	sink_begin "$PAIR_DIR/many" 10000 --ports 4000
	sink=$SINK
	in_ns a "$BLAST" send "${OVERLAY[b]}" 10000 --ports 4000 --packets 40000 --rate 20000 --seconds 10
	sink_good "$sink" "$PAIR_DIR/many" 39600
	after=$(per_queue b tun_written_packets)
	echo "b's workers wrote: $before, then $after"
	[ "$(moving "$before" "$after")" = "0 1 2 3" ]
	[ "$(one b replay)" = 0 ] && [ "$(one b handed_over_packets)" = 0 ]
}

@test "TCP over four queues: no segment comes late" {
	nodes_make "$M57" "$M57" spread=true routines=4
	iperf_serve b
	tcp_passes a -P 4
	tcp_passes a -P 4 -R
	local side
	for side in a b; do
		[ "$(counter $side TcpExtTCPSACKReorder)" = 0 ]
		[ "$(counter $side TcpExtTCPTSReorder)" = 0 ]
	done
	# workers wait for one that the scheduler has put aside with packets sealed: none comes too late
	echo "replay: $(one a replay) $(one b replay), waits: $(one a skew_waits) $(one b skew_waits)"
	[ "$(one a replay)" = 0 ] && [ "$(one b replay)" = 0 ]
}

@test "trains of several flows: one socket gets the tunnel, workers share it out in order" {
	nodes_make "$M57" "$M57" spread=true routines=3 inbound="[{port: any, proto: any, group: demo}]"
	# a wire without segmentation offload: b's GRO makes new trains of what follows each other
	in_ns a ethtool -K veth0 tso off gso off tx-udp-segmentation off
	in_ns b ethtool -K veth0 gro on
	in_ns b sh -c 'echo 200000 >/sys/class/net/veth0/gro_flush_timeout'
	in_ns a "$BLAST" send "${OVERLAY[b]}" 10000 --ports 256 --packets 60000 --rate 60000 --seconds 5
	wait_for 5 grep -q 'joins flows of a tunnel to trains' "$PAIR_DIR/b.log"
	[ "$(ctl b status | python3 -c 'import json, sys; print(json.load(sys.stdin)["steering"])')" = index ]
	ports_of_queues 3
	a_flow_each
	[ "$(one b handed_taken_packets)" -gt 10000 ]
	echo "replay $(one b replay), handover_full $(one b handover_full)"
	[ "$(one b replay)" = 0 ] && [ "$(one b handover_full)" = 0 ]
}

@test "without spreading a tunnel has one worker" {
	local before after
	node_make a "$M57" routines=4 spread=true
	node_make b "$M57" routines=4 # and none is the default
	tunnel_wait a
	before=$(per_queue b tun_written_packets)
	in_ns a "$BLAST" send "${OVERLAY[b]}" 5201 --ports 64 --packets 6400 --rate 20000
	after=$(per_queue b tun_written_packets)
	[[ $(moving "$before" "$after") =~ ^[0-3]$ ]]
	grep -q 'steering.*index' "$PAIR_DIR/b.log"
}

# stock CIPHER: four workers on few cores towards Debian's nebula, both ways. It says at level debug
# what its window of 1024 packets refuses, and everything that does not authenticate.
stock() {
	nodes_make "$M57" "$NEBULA" spread=true routines=4 cipher="$1" level=debug
	iperf_serve b
	tcp_passes a -P 8
	tcp_passes a -P 8 -R
	udp_passes a 1200 5000 5000 4990
	udp_passes b 64 5000 5000 4990
	[ "$(one a replay)" = 0 ]
	[ "$(one a authentication)" = 0 ]
	run ! grep -iE 'out of window|failed to decrypt' "$PAIR_DIR/b.log"
	# several workers of a did send
	python3 -c 'import sys; assert sum(int(n) > 0 for n in sys.argv[1:]) > 1' $(per_queue a udp_sent_packets)
}

@test "nebula takes four workers, aes: nothing comes too late for its window" {
	stock aes
}

@test "nebula takes four workers, chachapoly" {
	stock chachapoly
}
