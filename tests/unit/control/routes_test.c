/*
 * routes_test.c - what a reload changes in the kernel's table and in the workers': as steps, and
 * carried out in a network namespace of its own (needs root and /dev/net/tun); and what a device
 * that was down gets back.
 */
#include "routes.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "config/snapshot_build.h"
#include "system/interface.h"
#include "system/tun_setup.h"
#include "unit/control/config_helpers.h"
#include "unit/control/shell.h"

TestSuite(routes);

#define STEPS_MAX 64

/* --- the difference of two plans ---------------------------------------------------------------
 */

static struct prefix networks[2];

static struct interface_plan plan_of(uint32_t mtu, const struct interface_route *routes)
{
	struct interface_plan plan = {
		.index = 3, .mtu = mtu, .network_count = 2, .networks = networks, .routes = routes};

	networks[0] = prefix("10.42.0.1/16");
	networks[1] = prefix("fd42::1/64");
	while (routes[plan.route_count].to.bits)
		plan.route_count++;
	return plan;
}

/* "mtu 1400", "address 10.0.0.1/8", "- 10.0.0.0/8 metric 5 mtu 0", "+ 10.0.0.0/8 metric 0 mtu
 * 1200", joined by ", ". */
static const char *difference(const struct interface_plan *before,
			      const struct interface_plan *after, bool doubtful)
{
	static char all[4096];
	struct interface_step steps[STEPS_MAX];
	char text[PREFIX_TEXT_MAX];
	size_t count, at = 0;

	cr_assert_leq(interface_steps_max(before, after), STEPS_MAX);
	cr_assert_eq(interface_difference(before, after, doubtful, steps, &count), 0);
	all[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		const struct interface_step *step = &steps[i];

		prefix_format(step->action == INTERFACE_ADDRESS ? &step->address : &step->route.to,
			      text);
		at += (size_t)snprintf(all + at, sizeof(all) - at, "%s", i ? ", " : "");
		if (step->action == INTERFACE_MTU)
			at += (size_t)snprintf(all + at, sizeof(all) - at, "mtu %u", step->mtu);
		else if (step->action == INTERFACE_ADDRESS)
			at += (size_t)snprintf(all + at, sizeof(all) - at, "address %s", text);
		else
			at += (size_t)snprintf(all + at, sizeof(all) - at, "%c %s metric %u mtu %u",
					       step->action == INTERFACE_SET ? '+' : '-', text,
					       step->route.metric, step->route.mtu);
		cr_assert(step->action == INTERFACE_MTU || step->action == INTERFACE_ADDRESS ||
			  step->route.index == 3);
	}
	return all;
}

#define END                                                                                        \
	{                                                                                          \
		.to = {.bits = 0 }                                                                 \
	}

Test(routes, difference)
{
	const struct interface_route one[] = {{.to = prefix("192.168.1.0/24")}, END};
	const struct interface_route two[] = {{.to = prefix("192.168.1.0/24")},
					      {.to = prefix("192.168.2.0/24"), .metric = 5},
					      END};
	const struct interface_route other_metric[] = {
		{.to = prefix("192.168.1.0/24"), .metric = 7}, END};
	const struct interface_route wider[] = {{.to = prefix("192.168.0.0/16")}, END};
	const struct interface_route with_mtu[] = {{.to = prefix("192.168.1.0/24"), .mtu = 1200},
						   END};
	const struct interface_route large[] = {{.to = prefix("192.168.1.0/24"), .mtu = 1400}, END};
	const struct interface_route twice[] = {{.to = prefix("192.168.1.0/24"), .mtu = 1200},
						{.to = prefix("192.168.1.0/24")},
						END};
	const struct interface_route v6[] = {{.to = prefix("fd99::/48")}, END};
	const struct interface_route v6_same[] = {{.to = prefix("fd99::/48"), .metric = 1024}, END};
	const struct interface_route none[] = {END};
	const struct {
		const struct interface_route *before;
		uint32_t mtu_before;
		const struct interface_route *after;
		uint32_t mtu_after;
		const char *steps;
	} rows[] = {
		{one, 1300, one, 1300, ""},
		{one, 1300, two, 1300, "+ 192.168.2.0/24 metric 5 mtu 0"},
		{two, 1300, one, 1300, "- 192.168.2.0/24 metric 5 mtu 0"},
		{one, 1300, other_metric, 1300,
		 /* the removal could have met the new one, so that is set again */
		 "+ 192.168.1.0/24 metric 7 mtu 0, - 192.168.1.0/24 metric 0 mtu 0, "
		 "+ 192.168.1.0/24 metric 7 mtu 0"},
		{other_metric, 1300, one, 1300,
		 "+ 192.168.1.0/24 metric 0 mtu 0, - 192.168.1.0/24 metric 7 mtu 0"},
		{one, 1300, wider, 1300,
		 "+ 192.168.0.0/16 metric 0 mtu 0, - 192.168.1.0/24 metric 0 mtu 0"},
		{one, 1300, with_mtu, 1300, "+ 192.168.1.0/24 metric 0 mtu 1200"},
		{with_mtu, 1300, one, 1300, "+ 192.168.1.0/24 metric 0 mtu 0"},
		{twice, 1300, one, 1300, ""}, /* the last one counts */
		{one, 1300, one, 1400, "mtu 1400"},
		{one, 1400, one, 1300, "mtu 1300"},
		/* the device grows first and shrinks last; routes to our networks keep tun.mtu */
		{one, 1300, large, 1300,
		 "mtu 1400, + 10.42.0.1/16 metric 0 mtu 1300, + fd42::1/64 metric 256 mtu 1300"},
		{large, 1300, none, 1300,
		 "+ 10.42.0.1/16 metric 0 mtu 0, + fd42::1/64 metric 256 mtu 0, "
		 "- 192.168.1.0/24 metric 0 mtu 0, mtu 1300"},
		{v6, 1300, v6_same, 1300, ""},
		{v6, 1300, none, 1300, "- fd99::/48 metric 1024 mtu 0"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct interface_plan before = plan_of(rows[i].mtu_before, rows[i].before);
		struct interface_plan after = plan_of(rows[i].mtu_after, rows[i].after);

		cr_expect_str_eq(difference(&before, &after, false), rows[i].steps, "row %zu: %s",
				 i, difference(&before, &after, false));
	}
}

/* All is set that is to be there, and what goes goes as ever. */
Test(routes, difference_from_what_is_in_doubt)
{
	const struct interface_route two[] = {
		{.to = prefix("192.168.1.0/24")}, {.to = prefix("192.168.2.0/24")}, END};
	const struct interface_route one[] = {{.to = prefix("192.168.1.0/24")}, END};
	struct interface_plan before = plan_of(1400, two), after = plan_of(1300, one);

	cr_expect_str_eq(difference(&before, &after, true),
			 "mtu 1300, address 10.42.0.1/16, address fd42::1/64, "
			 "+ 10.42.0.1/16 metric 0 mtu 0, + 192.168.1.0/24 metric 0 mtu 0, "
			 "+ fd42::1/64 metric 256 mtu 0, "
			 "- 192.168.2.0/24 metric 0 mtu 0",
			 "%s", difference(&before, &after, true));
}

/* --- a reload ----------------------------------------------------------------------------------
 */

static struct findings findings;

static struct config *load(const char *tun)
{
	char text[4096];
	struct config *config;

	snprintf(text, sizeof(text), PKI_LINE "tun: {%s}\n", tun);
	config = config_of_text(text, &findings);
	cr_assert_eq(findings.errors, 0, "%s", first_finding(&findings));
	return config;
}

static struct prefix own_network;
static struct cert own = {.network_count = 1, .networks = &own_network};

/* The change from one configuration to another, with its table. */
static struct routes_change *change_make(struct routes *routes, const struct config *before,
					 const struct config *after, struct route_table **table)
{
	struct routes_change *change = routes_reconfigure(routes, before, &own, after, &own);

	cr_assert_not_null(change);
	*table = routes_change_table(change);
	cr_assert_not_null(*table);
	cr_assert_null(routes_change_table(change), "handed out once");
	return change;
}

Test(routes, reload_makes_the_workers_table)
{
	struct config *before = load("unsafe_routes: [{route: 10.1.0.0/16, via: 10.42.0.2}]");
	struct config *after = load("unsafe_routes: [{route: 10.2.0.0/16, via: [{gateway: "
				    "10.42.0.3}, {gateway: 10.42.0.4}]}]");
	struct routes *routes = routes_create("", 0, false);
	struct route_table *table;
	struct routes_change *change;
	char error[ERROR_LINE_MAX] = "";

	own_network = prefix("10.42.0.1/16");
	change = change_make(routes, before, after, &table);
	cr_expect_eq(table->entry_count, 1);
	cr_expect_eq(table->entries[0].gateway_count, 2);
	cr_expect_eq(table->gateways[1].to.addr.bytes[15], 4);
	cr_expect_eq(routes_apply(routes, change, error), 0, "without a device there is nothing");
	route_table_destroy(table);
	routes_change_free(change);
	routes_change_free(routes_reconfigure(routes, before, &own, after, &own)); /* given up */
	routes_change_free(NULL);
	routes_destroy(routes);
	routes_destroy(NULL);
	config_free(before);
	config_free(after);
}

Test(routes, reload_tells_the_kernel)
{
	if (geteuid() != 0 || access("/dev/net/tun", R_OK | W_OK) != 0 ||
	    unshare(CLONE_NEWNET) != 0)
		cr_skip("needs root, /dev/net/tun and network namespaces");

	struct config *before = load("routes: [{route: 10.42.7.0/24, mtu: 1200}], unsafe_routes: ["
				     "{route: 10.1.0.0/16, via: 10.42.0.2, mtu: 1250},"
				     "{route: 10.2.0.0/16, via: 10.42.0.2, metric: 9},"
				     "{route: 10.3.0.0/16, via: 10.42.0.2, install: false},"
				     "{route: 10.4.0.0/16, via: 10.42.0.2}]");
	struct config *after = load("mtu: 1200, unsafe_routes: ["
				    "{route: 10.1.0.0/16, via: 10.42.0.2, mtu: 1400},"
				    "{route: 10.3.0.0/16, via: 10.42.0.2},"
				    "{route: 10.4.0.0/16, via: 10.42.0.3}]");
	struct tun_options options = {.name = "m57r", .queues = 1, .offloads = true};
	struct tun_device device;
	struct routes_change *change;
	struct route_table *table;
	struct routes *routes;
	char error[ERROR_LINE_MAX] = "";
	const char *text;

	own_network = prefix("10.42.0.1/16");
	cr_assert_eq(tun_open(&device, &options, error), 0, "%s", error);
	routes = routes_create(device.name, device.index, device.tso);
	cr_assert_eq(routes_install(routes, before, &own, error), 0, "%s", error);
	text = shell("ip route");
	has(text, "10.42.7.0/24 dev m57r proto static scope link mtu 1200 advmss 1160");
	has(text, "10.1.0.0/16 dev m57r proto static scope link mtu 1250");
	has(text, "10.2.0.0/16 dev m57r proto static scope link metric 9");
	hasnt(text, "10.3.0.0");
	has(shell("ip route get 10.1.2.3"), "mtu 1250");
	shell("ip route del 10.2.0.0/16"); /* that somebody else removed it is no error */

	change = change_make(routes, before, after, &table);
	cr_assert_eq(routes_apply(routes, change, error), 0, "%s", error);
	text = shell("ip route");
	hasnt(text, "10.42.7.0/24");
	has(text, "10.42.0.0/16 dev m57r proto static scope link src 10.42.0.1 mtu 1200");
	has(text, "10.1.0.0/16 dev m57r proto static scope link");
	hasnt(text, "10.2.0.0");
	has(text, "10.3.0.0/16 dev m57r proto static scope link mtu 1200");
	has(shell("ip link show m57r"), "mtu 1400");
	route_table_destroy(table);
	routes_change_free(change);

	/* One route that the kernel refuses keeps the others not from being set. */
	change = change_make(routes, after, before, &table);
	shell("ip link set m57r down");
	cr_assert_lt(routes_apply(routes, change, error), 0);
	has(error, "route to");
	hasnt(shell("ip route show table all"), "10.3.0.0");
	route_table_destroy(table);
	routes_change_free(change);
	routes_destroy(routes);
	tun_close(&device);
	config_free(before);
	config_free(after);
}

static int apply(struct routes *routes, const struct config *before, const struct config *after,
		 char error[ERROR_LINE_MAX])
{
	struct route_table *table;
	struct routes_change *change = change_make(routes, before, after, &table);
	int result = routes_apply(routes, change, error);

	route_table_destroy(table);
	routes_change_free(change);
	return result;
}

/* What the kernel did not take is told again by the next reload, though nothing differs by then. */
Test(routes, what_failed_is_done_by_the_next_reload)
{
	if (geteuid() != 0 || access("/dev/net/tun", R_OK | W_OK) != 0 ||
	    unshare(CLONE_NEWNET) != 0)
		cr_skip("needs root, /dev/net/tun and network namespaces");

	struct config *first = load("unsafe_routes: [{route: 10.1.0.0/16, via: 10.42.0.2}]");
	struct config *second = load("mtu: 1400, unsafe_routes: ["
				     "{route: 10.1.0.0/16, via: 10.42.0.2},"
				     "{route: 10.2.0.0/16, via: 10.42.0.2}]");
	struct tun_options options = {.name = "m57f", .queues = 1, .offloads = true};
	struct rlimit files, none = {0};
	struct tun_device device;
	struct routes *routes;
	char error[ERROR_LINE_MAX] = "";

	own_network = prefix("10.42.0.1/16");
	cr_assert_eq(tun_open(&device, &options, error), 0, "%s", error);
	routes = routes_create(device.name, device.index, device.tso);
	cr_assert_eq(routes_install(routes, first, &own, error), 0, "%s", error);

	shell("ip link set m57f down"); /* the kernel forgets the other routes too */
	cr_expect_eq(apply(routes, first, second, error), -ENETDOWN, "%s", error);
	cr_expect_eq(apply(routes, second, second, error), -ENETDOWN, "it is said again");
	shell("ip link set m57f up");
	cr_expect_eq(apply(routes, second, second, error), 0, "%s", error);
	has(shell("ip route"), "10.1.0.0/16 dev m57f");
	has(shell("ip route"), "10.2.0.0/16 dev m57f");
	has(shell("ip route"), "10.42.0.0/16 dev m57f");

	/* no descriptor for any request: a route stays that is to go, and the MTU */
	getrlimit(RLIMIT_NOFILE, &files);
	none.rlim_max = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &none);
	cr_expect_eq(apply(routes, second, first, error), -EMFILE, "%s", error);
	setrlimit(RLIMIT_NOFILE, &files);
	has(shell("ip route"), "10.2.0.0/16 dev m57f");
	cr_expect_eq(apply(routes, first, first, error), 0, "%s", error);
	hasnt(shell("ip route"), "10.2.0.0");
	has(shell("ip link show m57f"), "mtu 1300");

	/* the removal that was made at last is not made again */
	cr_expect_eq(apply(routes, first, second, error), 0, "%s", error);
	cr_expect_eq(apply(routes, second, second, error), 0, "%s", error);
	has(shell("ip route"), "10.2.0.0/16 dev m57f");
	cr_expect_eq(apply(routes, second, first, error), 0, "%s", error);

	/* all is as it is to be: nothing is told any more */
	shell("ip route del 10.1.0.0/16");
	cr_expect_eq(apply(routes, first, first, error), 0, "%s", error);
	hasnt(shell("ip route"), "10.1.0.0");
	routes_destroy(routes);
	tun_close(&device);
	config_free(first);
	config_free(second);
}

/* Who asks for the system's routes does not run without them. */
Test(routes, the_systems_routes_cannot_be_followed)
{
	if (geteuid() != 0 || access("/dev/net/tun", R_OK | W_OK) != 0 ||
	    unshare(CLONE_NEWNET) != 0)
		cr_skip("needs root, /dev/net/tun and network namespaces");

	struct config *config = load("use_system_route_table: true");
	struct tun_options options = {.name = "m57w", .queues = 1, .offloads = true};
	struct rlimit files, few;
	struct tun_device device;
	struct routes *routes;
	char error[ERROR_LINE_MAX] = "";
	int next;

	own_network = prefix("10.42.0.1/16");
	cr_assert_eq(tun_open(&device, &options, error), 0, "%s", error);
	routes = routes_create(device.name, device.index, device.tso);
	next = dup(0);
	close(next);
	getrlimit(RLIMIT_NOFILE, &files);
	/* one for the requests, which the watch of the device has then */
	few = (struct rlimit){.rlim_cur = (rlim_t)next + 1, .rlim_max = files.rlim_max};
	setrlimit(RLIMIT_NOFILE, &few);
	cr_expect_eq(routes_install(routes, config, &own, error), -EMFILE, "%s", error);
	setrlimit(RLIMIT_NOFILE, &files);
	has(error, "cannot follow the system's routes");
	routes_destroy(routes);
	tun_close(&device);
	config_free(config);
}

/* What somebody sets down and up by hand is as configured again, IPv6 addresses and all; what he
 * removes while it is up stays removed. */
Test(routes, a_device_that_was_down_gets_everything_back)
{
	if (geteuid() != 0 || access("/dev/net/tun", R_OK | W_OK) != 0 ||
	    unshare(CLONE_NEWNET) != 0)
		cr_skip("needs root, /dev/net/tun and network namespaces");

	struct prefix both[] = {prefix("10.42.0.1/16"), prefix("fd42::1/64")};
	struct cert two_networks = {.network_count = 2, .networks = both};
	struct config *config = load("unsafe_routes: [{route: 10.1.0.0/16, via: 10.42.0.2, "
				     "metric: 7, mtu: 1290}, {route: 10.2.0.0/16, via: 10.42.0.2},"
				     "{route: 'fd99::/48', via: 10.42.0.2}]");
	struct tun_options options = {.name = "m57u", .queues = 1, .offloads = true};
	struct tun_device device;
	struct routes *routes;
	char error[ERROR_LINE_MAX] = "";

	cr_assert_eq(tun_open(&device, &options, error), 0, "%s", error);
	routes = routes_create(device.name, device.index, device.tso);
	cr_assert_eq(routes_link_fd(routes), -1, "nothing is watched before there is something");
	cr_assert_eq(routes_install(routes, config, &two_networks, error), 0, "%s", error);

	shell("ip route del 10.2.0.0/16; ip link set m57u mtu 1400");
	routes_link_turn(routes, &two_networks);
	hasnt(shell("ip route"), "10.2.0.0");
	has(shell("ip link show m57u"), "mtu 1400");

	shell("ip link set m57u down");
	routes_link_turn(routes, &two_networks);
	hasnt(shell("ip route; ip -6 route"), "m57u");
	shell("ip link set m57u up");
	routes_link_turn(routes, &two_networks);
	has(shell("ip route"), "10.42.0.0/16 dev m57u proto static scope link src 10.42.0.1");
	has(shell("ip route"), "10.1.0.0/16 dev m57u proto static scope link metric 7 mtu 1290");
	has(shell("ip route"), "10.2.0.0/16 dev m57u");
	has(shell("ip -6 route"), "fd42::/64 dev m57u");
	has(shell("ip -6 route"), "fd99::/48 dev m57u");
	has(shell("ip addr show m57u"), "inet6 fd42::1/64");
	has(shell("ip link show m57u"), "mtu 1300");
	has(shell("ip -4 addr show m57u | grep -c inet"), "1");
	routes_destroy(routes);
	tun_close(&device);
	config_free(config);
}

Test(routes, a_snapshot_with_other_routes_keeps_its_rules)
{
	struct config *config = config_of_text(
		PKI_LINE "firewall: {inbound: [{proto: tcp, port: 22-23, cidr: 10.42.7.0/24}]}\n",
		&findings);
	struct snapshot *first, *second;
	const struct rule *rule;

	own_network = prefix("10.42.0.1/16");
	first = snapshot_build(config, &own, 7);
	cr_assert_not_null(first);
	second = snapshot_reroute(first, route_table_create(NULL, 0));
	cr_assert_not_null(second);
	snapshot_free(first); /* nothing is shared */
	cr_expect_eq(second->rules_version, 7);
	cr_expect_eq(second->rules[OUTBOUND].count, 0);
	cr_assert_eq(second->rules[INBOUND].count, 1);
	rule = &second->rules[INBOUND].rules[0];
	cr_expect(rule->protocol == RULE_TCP && rule->port_first == 22 && rule->port_last == 23);
	cr_expect(rule->has_cidr && rule->cidr.bits == ADDR_V4_BITS + 24);
	cr_expect_eq(second->routes->entry_count, 0);
	snapshot_free(second);
	config_free(config);
}
