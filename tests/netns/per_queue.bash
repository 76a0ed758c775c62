# What each worker of a side has done, as m57ctl tells: sourced after lib.

ctl() {
	local side=$1
	shift
	"$B/m57ctl" -socket "$PAIR_DIR/$side.sock" -json "$@"
}

# per_queue SIDE COUNTER: its value in each worker, in one line
per_queue() {
	ctl "$1" queues | python3 -c 'import json, sys; print(*(r[sys.argv[1]] for r in json.load(sys.stdin)))' "$2"
}
