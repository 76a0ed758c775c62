# m57ctl asked on side a, and what it must say: sourced after lib.

CTL=$B/m57ctl

ctl() {
	timeout 20 "$CTL" -socket "$PAIR_DIR/a.sock" "$@"
}

# says TEXT COMMAND...: the output has the text (a pattern of grep -E), the exit code is 0
says() {
	local text=$1
	shift
	run ctl "$@"
	echo "m57ctl $*: $status: $output"
	[ "$status" = 0 ] && grep -qE -e "$text" <<<"$output"
}

# refuses CODE TEXT COMMAND...
refuses() {
	local code=$1 text=$2
	shift 2
	run ctl "$@"
	echo "m57ctl $*: $status: $output"
	[ "$status" = "$code" ] && grep -qE -e "$text" <<<"$output"
}

# lacks TEXT COMMAND...: exit code 0, and the text is not in the output ("!" alone fails no test)
lacks() {
	local text=$1
	shift
	run ctl "$@"
	echo "m57ctl $*: $status: $output"
	[ "$status" = 0 ] && [ "$(grep -cE -e "$text" <<<"$output")" = 0 ]
}

# valid COMMAND...: -json gives one line of JSON
valid() {
	ctl -json "$@" | python3 -c 'import json, sys; text = sys.stdin.read(); json.loads(text); assert text.count("\n") == 1'
}
