/*
 * link_watch_test.c - a device that comes up again is told once, and nothing else is: by the real
 * kernel, in a network namespace of its own (needs root and /dev/net/tun).
 */
#include "system/link_watch.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "system/tun_setup.h"
#include "unit/control/shell.h"

TestSuite(link_watch, .timeout = 60);

static struct tun_device device;
static struct link_watch watch;

static void watch_make(void)
{
	struct tun_options options = {.name = "m57l", .queues = 1};
	char error[ERROR_LINE_MAX] = "";

	if (geteuid() != 0 || access("/dev/net/tun", R_OK | W_OK) != 0 ||
	    unshare(CLONE_NEWNET) != 0)
		cr_skip("needs root, /dev/net/tun and network namespaces");
	cr_assert_eq(tun_open(&device, &options, error), 0, "%s", error);
	shell("ip link set m57l up; ip link add other type veth peer name another");
	cr_assert_eq(link_watch_open(&watch, device.index), 0);
}

static void watch_end(void)
{
	link_watch_close(&watch);
	cr_expect_eq(watch.fd, -1);
	link_watch_close(&watch);
	tun_close(&device);
}

static bool is_readable(void)
{
	struct pollfd fd = {.fd = watch.fd, .events = POLLIN};

	return poll(&fd, 1, 0) == 1;
}

Test(link_watch, tells_that_the_device_came_up_again)
{
	static const struct {
		const char *command;
		bool told;
		enum link_state state;
	} rows[] = {
		{"true", false, LINK_UP},
		{"ip link set m57l mtu 1400", false, LINK_UP},
		{"ip addr add 10.42.0.1/16 dev m57l", false, LINK_UP},
		{"ip link set m57l up", false, LINK_UP},
		{"ip link set m57l down", false, LINK_DOWN},
		{"ip link set m57l mtu 1300", false, LINK_DOWN},
		{"ip link set m57l up", true, LINK_UP},
		{"ip link set m57l mtu 1400", false, LINK_UP},
		{"ip link set m57l down; ip link set m57l up", true, LINK_UP},
		{"ip link set m57l down; ip link set m57l up; ip link set m57l mtu 1300", true,
		 LINK_UP},
		{"ip link set m57l down; ip link set m57l up; ip link set m57l down", false,
		 LINK_DOWN},
		{"ip link set m57l up", true, LINK_UP},
		{"ip link set m57l down; ip link del m57l", false, LINK_GONE},
	};

	watch_make();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		shell(rows[i].command);
		cr_expect_eq(link_watch_turn(&watch), rows[i].told, "row %zu: %s", i,
			     rows[i].command);
		cr_expect_not(link_watch_turn(&watch), "row %zu: once", i);
		cr_expect_eq(watch.state, rows[i].state, "row %zu: %s", i, rows[i].command);
	}
	watch_end();
}

Test(link_watch, other_devices_do_not_wake_us)
{
	watch_make();
	link_watch_turn(&watch);
	shell("ip link set other up; ip link set another up; ip link set other down; "
	      "ip link set other up; ip link del other");
	cr_expect_not(is_readable());
	cr_expect_not(link_watch_turn(&watch));
	watch_end();
}

/* Nobody reads until the buffer overruns: that the device came up is among what is lost. */
Test(link_watch, what_was_lost_is_asked_for)
{
	int small = 1;

	watch_make();
	cr_assert_eq(setsockopt(watch.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	for (int i = 0; i < 8; i++)
		shell("ip link set m57l down; ip link set m57l up");
	cr_expect_not(link_watch_turn(&watch), "in doubt");
	cr_assert(is_readable(), "the kernel has answered");
	cr_expect(link_watch_turn(&watch));
	for (int i = 0; i < 8; i++)
		shell("ip link set m57l up; ip link set m57l down");
	cr_expect_not(link_watch_turn(&watch));
	cr_expect_not(link_watch_turn(&watch), "it is down");
	shell("ip link set m57l up");
	cr_expect(link_watch_turn(&watch));
	watch_end();
}
