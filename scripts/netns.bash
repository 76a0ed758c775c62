# Two network namespaces joined by a veth pair, with a node in each: sourced by scripts/demo,
# tests/netns/lib.bash and most of perf/. Sides are called a and b. Everything made here carries the process id in its
# name and is removed by namespaces_remove; nothing outside the two namespaces is touched.
#
#   underlay 192.0.2.1 (a) and 192.0.2.2 (b), UDP 4242; overlay 10.42.0.1/16 and 10.42.0.2/16

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
B=$(cd "$REPO" && realpath -m "${B:-build}")
M57=${M57:-$B/m57}
M57_CERT=${M57_CERT:-$B/m57-cert}
NEBULA=${NEBULA:-nebula}
BLAST=$B/perf/udp_blast

declare -gA NS UNDERLAY=([a]=192.0.2.1 [b]=192.0.2.2) OVERLAY=([a]=10.42.0.1 [b]=10.42.0.2)
declare -gA NODE_PID=() NODE_LOG=()
PAIR_DIR=

# settings_check PROGRAM NAME...: ends PROGRAM unless each variable is a whole number from 1 to 9999999.
settings_check() {
	local program=$1 name
	shift
	for name in "$@"; do
		[[ ${!name} =~ ^[1-9][0-9]{0,6}$ ]] || {
			printf '%s: %s=%s: a whole number from 1 to 9999999 is wanted\n' "$program" "$name" "${!name}" >&2
			exit 1
		}
	done
}

# programs_check PROGRAM FILE...: ends PROGRAM, which was started without make, unless each is there.
programs_check() {
	local program=$1 file
	shift
	for file in "$@"; do
		command -v "$file" >/dev/null || {
			case $file in
			*/*) echo "$program: $file is missing: make all perf-programs, or the goal of make help" ;;
			*) echo "$program: $file is missing: sudo scripts/install-deps" ;;
			esac >&2
			exit 1
		}
	done
}

# usage_check FILE ARGUMENT...: what these programs do is said in the environment. With any argument
# the head of FILE is shown, and the program ends: with 0 when that was what it was asked for.
usage_check() {
	local file=$1 asked=${2:-}
	[ $# -gt 1 ] || return 0
	sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$file" >&2
	case $asked in -h | -help | --help) exit 0 ;; esac
	exit 1
}

other() {
	[ "$1" = a ] && echo b || echo a
}

# in_ns SIDE COMMAND...: replaces the shell it runs in when called in the background, so that $! is
# the command itself.
in_ns() {
	local side=$1
	shift
	ip netns exec "${NS[$side]}" "$@"
}

# wait_for SECONDS COMMAND...: until the command succeeds; 1 when it has not by then.
wait_for() {
	local end=$((${EPOCHREALTIME/./} + $1 * 1000000))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "${EPOCHREALTIME/./}" -lt $end ] || return 1
		sleep 0.05
	done
}

# namespaces_add SIDE...: each with lo up and nothing else
namespaces_add() {
	local side
	for side in "$@"; do
		NS[$side]=m57-$BASHPID-$side
		ip netns add "${NS[$side]}"
		ip -n "${NS[$side]}" link set lo up
	done
}

# namespaces_remove: all of them, after every process in them. Safe to call twice.
namespaces_remove() {
	local side pid
	for side in "${!NS[@]}"; do
		for pid in $(ip netns pids "${NS[$side]}" 2>/dev/null); do
			kill -KILL "$pid" 2>/dev/null || true
			wait "$pid" 2>/dev/null || true # ours: else bash reports it later
		done
		ip netns del "${NS[$side]}" 2>/dev/null || true
		unset "NS[$side]"
	done
	NODE_PID=()
}

# pair_make DIRECTORY: namespaces, veth, addresses; files of this pair live in DIRECTORY.
pair_make() {
	PAIR_DIR=$1
	local side
	namespaces_add a b
	for side in a b; do
		in_ns $side sysctl -q -w net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 || true
	done
	ip -n "${NS[a]}" link add veth0 type veth peer name veth0 netns "${NS[b]}"
	for side in a b; do
		ip -n "${NS[$side]}" addr add "${UNDERLAY[$side]}/24" dev veth0
		ip -n "${NS[$side]}" link set veth0 up
	done
}

# cert_tool TOOL MODE ARGUMENTS...: in the pair's directory; version 1 is asked for where the tool
# knows the flag (nebula-cert since 1.10).
cert_tool() {
	local tool=$1 mode=$2 version=()
	shift 2
	"$tool" "$mode" -help 2>&1 | grep -q -e '-version' && version=(-version 1)
	(cd "$PAIR_DIR" && "$tool" "$mode" "${version[@]}" "$@")
}

# credentials_make [TOOL]: a CA and a certificate for each side, group "demo".
credentials_make() {
	local tool=${1:-$M57_CERT} side
	cert_tool "$tool" ca -name demo-ca -duration 24h
	for side in a b; do
		cert_tool "$tool" sign -name "$side" -ip "${OVERLAY[$side]}/16" -groups demo
	done
}

# config_write SIDE [KEY=VALUE...]: cipher=aes routines=2 mtu=1300 extra=YAML (top level),
# tun_extra=, listen_extra= (lines under tun: and listen:), inbound=YAML list, ctl=PATH of the socket,
# spread=m57.spread_flows, sparse=m57.sparse_queue.
config_write() {
	local side=$1 peer cipher=aes routines=2 mtu=1300 extra="" tun_extra="" listen_extra="" level=info ctl=$PAIR_DIR/$1.sock spread="" sparse=""
	local inbound="[{port: 5201-5300, proto: any, group: demo}, {port: any, proto: icmp, group: demo}]"
	peer=$(other "$side")
	shift
	[ $# = 0 ] || local "$@"
	cat >"$PAIR_DIR/$side.yml" <<YAML
pki:
  ca: $PAIR_DIR/ca.crt
  cert: $PAIR_DIR/$side.crt
  key: $PAIR_DIR/$side.key
cipher: $cipher
static_host_map:
  "${OVERLAY[$peer]}": ["${UNDERLAY[$peer]}:4242"]
lighthouse:
  am_lighthouse: false
listen:
  host: 0.0.0.0
  port: 4242
$listen_extra
routines: $routines
tun:
  dev: tun-$side
  mtu: $mtu
$tun_extra
firewall:
  conntrack: {tcp_timeout: 12m, udp_timeout: 3m, default_timeout: 10m}
  outbound: [{port: any, proto: any, host: any}]
  inbound: $inbound
logging:
  level: $level
m57: {ctl: $ctl${spread:+, spread_flows: $spread}${sparse:+, sparse_queue: $sparse}}
$extra
YAML
}

# node_start SIDE [PROGRAM]: m57 by default. More environment in NODE_ENV (an array).
node_start() {
	local side=$1 program=${2:-$M57}
	NODE_LOG[$side]=$PAIR_DIR/$side.log
	ip netns exec "${NS[$side]}" env "${NODE_ENV[@]}" "$program" -config "$PAIR_DIR/$side.yml" \
		>>"${NODE_LOG[$side]}" 2>&1 </dev/null 3>&- &
	NODE_PID[$side]=$!
}
NODE_ENV=()

node_alive() {
	[ -n "${NODE_PID[$1]:-}" ] && kill -0 "${NODE_PID[$1]}" 2>/dev/null
}

# node_end SIDE [SIGNAL]: returns the node's exit code; 124 when it had to be killed after 5 s.
node_end() {
	local side=$1 pid=${NODE_PID[$1]:-} code=0 killed=0
	[ -n "$pid" ] || return 0
	kill "-${2:-TERM}" "$pid" 2>/dev/null || true
	wait_for 5 process_ended "$pid" || {
		kill -KILL "$pid" 2>/dev/null || true
		killed=124
	}
	wait "$pid" 2>/dev/null || code=$?
	unset "NODE_PID[$side]"
	[ $killed = 0 ] || return $killed
	return $code
}

# Gone, or a zombie that waits for our wait.
process_ended() {
	local state
	state=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) || return 0
	[ "${state%% *}" = Z ]
}

ping_overlay() {
	in_ns "$1" ping -c 1 -W 1 -q "${OVERLAY[$(other "$1")]}"
}

# tunnel_wait [SIDE] [SECONDS]: until a ping passes.
tunnel_wait() {
	wait_for "${2:-15}" ping_overlay "${1:-a}"
}

# ticks_of SIDE...: user plus system time of all threads of the nodes of these sides, in clock ticks.
ticks_of() {
	local side total=0 fields
	for side; do
		[ -n "${NODE_PID[$side]:-}" ] || continue
		fields=$(sed 's/.*) //' "/proc/${NODE_PID[$side]}/stat" 2>/dev/null) || continue
		read -r -a fields <<<"$fields"
		total=$((total + fields[11] + fields[12]))
	done
	echo $total
}

# The same of both sides of a pair.
cpu_ticks() {
	ticks_of a b
}

# node_memory SIDE: peak resident kilobytes.
node_memory() {
	sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/${NODE_PID[$1]}/status" 2>/dev/null || echo 0
}

listening() {
	[ -n "$(in_ns "$1" ss -Hltn "sport = :$2")" ]
}

# iperf_serve SIDE: a server on port 5201 until the namespace goes.
iperf_serve() {
	in_ns "$1" iperf3 -s -p 5201 >"$PAIR_DIR/iperf-server-$1.log" 2>&1 </dev/null 3>&- &
	wait_for 5 listening "$1" 5201
}
