#!/usr/bin/env bats
# perf/stage_table and perf/flame_graph on a recording made by hand; the probes of the program.

. "$BATS_TEST_DIRNAME/../../scripts/netns.bash"

sample() { # THREAD PID FRAME...: one sample of 1 ms, innermost frame first
	printf '%s %s/%s 10.%06d: 1000000 \n' "$1" "$2" "$2" $((++COUNT))
	shift 2
	printf '\tffff0000 %s\n' "$@"
	echo
}

recording() {
	COUNT=0
	sample m57-w0 1 'memcmp (/lib/libc.so.6)' 'replay_check (/x/m57)' 'inbound_train (/x/m57)'
	sample m57-w0 1 'aes_gcm_enc_256 (/lib/libIPSec_MB.so.1)' 'outbound_run (/x/m57)'
	sample m57-w0 1 '_copy_to_iter ([kernel.kallsyms])' 'tun_do_read ([kernel.kallsyms])'
	sample m57-w0 1 '[unknown] (/lib/libcrypto.so.3)' '[unknown] ([unknown])'
	sample m57 2 'inner_parse (/x/m57)'
	sample m57-w0 2 'io_sendmsg ([kernel.kallsyms])' 'do_syscall_64 ([kernel.kallsyms])'
	sample iperf3 3 'tcp_ack ([kernel.kallsyms])'
}

table() {
	"$REPO"/perf/stage_table --sender 1 --receiver 2 --program /x/m57 --unit ns/packet=1000 "$@"
}

row() { # STAGE: shares of sender and receiver
	sed -n "s/^| $1  *|  *\([0-9.]*\) |[^|]*|  *\([0-9.]*\) |.*/\1 \2/p" <<<"$output"
}

@test "the innermost frame that a rule knows decides, and each node sums to 100 %" {
	run table < <(recording)
	[ "$status" = 0 ]
	[ "$(row replay)" = "25.0 0.0" ]
	[ "$(row seal)" = "25.0 0.0" ]
	[ "$(row 'kernel copy')" = "25.0 0.0" ]
	[ "$(row 'seal or open')" = "25.0 0.0" ]
	[ "$(row control)" = "0.0 50.0" ]
	[ "$(row send)" = "0.0 50.0" ]
	[ "$(row sum)" = "100.0 100.0" ]
}

@test "time that no rule knows is an error, and is named" {
	run table --unmatched 1 < <(recording; sample m57-w0 2 'new_function (/x/m57)')
	[ "$status" = 3 ]
	[ "$(row other)" = "0.0 33.3" ]
	[[ $output == *"new_function@m57"* ]]
}

@test "the flame graph is one well-formed file with every frame" {
	recording | table --folded "$BATS_TEST_TMPDIR/folded" >/dev/null
	"$REPO"/perf/flame_graph --title 'a < b & c' <"$BATS_TEST_TMPDIR/folded" >"$BATS_TEST_TMPDIR/flame.svg"
	python3 -c 'import sys, xml.dom.minidom as m; m.parse(sys.argv[1])' "$BATS_TEST_TMPDIR/flame.svg"
	grep -q '<title>replay_check@m57: 16.67 %' "$BATS_TEST_TMPDIR/flame.svg"
	! grep -q 'tcp_ack' "$BATS_TEST_TMPDIR/flame.svg"
}

@test "the program carries its probes" {
	[ -e /usr/include/sys/sdt.h ] || [ -e "/usr/include/$(gcc -print-multiarch)/sys/sdt.h" ] ||
		skip "needs systemtap-sdt-dev"
	local probes probe
	probes=$(readelf -n "$M57" | sed -n '/Provider: m57/{n;s/.*Name: //p}' | LC_ALL=C sort -u | paste -sd' ')
	[ "$probes" = "drop handshake rearm roam run_in run_out send_error" ]
	# perf leaves out arguments that are constants, and then all sites behind the first such one
	readelf -n "$M57" | sed -n '/Provider: m57/,/Arguments/p' >"$BATS_TEST_TMPDIR/notes"
	[ "$(grep -c 'Arguments:.*@\$' "$BATS_TEST_TMPDIR/notes")" = 0 ]
	for probe in "$REPO"/scripts/bpftrace/*.bt; do
		for probe in $(sed -n 's/^usdt:\*:m57:\([a-z_]*\)$/\1/p' "$probe"); do
			[[ " $probes " == *" $probe "* ]]
		done
	done
}
