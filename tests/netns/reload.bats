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

# still SECONDS COMMAND...: the command fails for so long
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
	reload_a_hundred_times || { cat "$PAIR_DIR/answer"; return 1; }
	[ -z "$(cat /proc/$source/stat 2>/dev/null)" ] && echo "# the stream was over before the reloads" >&3
	wait $source $sink
	cat "$PAIR_DIR/sent" "$PAIR_DIR/sink"
	grep -q "^packets $packets .* disorder 0$" "$PAIR_DIR/sink"
	grep -q '^missing 0 ' "$PAIR_DIR/sink"
	echo "# 100 reloads: $(grep missing "$PAIR_DIR/sink")" >&3
	says a '^ *applied: 100$' status
	in_ns a ip route show dev tun-a | grep -q '172.16.98.0/24'
	[ "$(in_ns a ip route show dev tun-a | grep -c '172.16')" = 1 ]
	[ "$(in_ns a cat /sys/class/net/tun-a/mtu)" = 1379 ]
}
