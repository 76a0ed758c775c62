/*
 * system_routes_test.c - what the kernel's route messages mean, whole, broken and out of the blue;
 * and the real kernel's, in a network namespace of its own (needs root and /dev/net/tun).
 */
#include "system/system_routes.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "limits.h"
#include "system/interface.h"
#include "system/route_watch.h"
#include "system/tun_setup.h"
#include "unit/control/shell.h"

TestSuite(system_routes);

#define DEVICE 7
#define SEED   58

static struct system_routes *routes;
static struct prefix networks[2];

static struct addr addr(const char *text)
{
	struct addr a;

	cr_assert_eq(addr_parse(text, &a), 0, "%s", text);
	return a;
}

static void init(void)
{
	networks[0] = prefix("10.42.0.1/16");
	networks[1] = prefix("fd42::1/64");
	routes = system_routes_create(DEVICE, networks, 2);
}

static void fini(void)
{
	system_routes_destroy(routes);
}

/* --- messages ----------------------------------------------------------------------------------
 */

struct hop_text {
	const char *gateway; /* NULL: none; of the other family: as RTA_VIA */
	uint32_t device, weight;
};

struct message {
	uint16_t type, flags;
	const char *to; /* "10.1.0.0/16" */
	const char *gateway;
	uint32_t device, metric, table;
	uint8_t route_type; /* 0: unicast */
	uint32_t rtm_flags;
	struct hop_text hops[20];
};

static uint8_t buffer[4096] __attribute__((aligned(8)));

static void put_gateway(struct nlmsghdr *header, bool v4, const char *text)
{
	struct addr gateway;
	uint8_t via[18];
	uint16_t family;

	if (!text)
		return;
	gateway = addr(text);
	if (addr_is_v4(&gateway) == v4) {
		mnl_attr_put(header, RTA_GATEWAY, v4 ? 4 : 16, gateway.bytes + (v4 ? 12 : 0));
		return;
	}
	family = v4 ? AF_INET6 : AF_INET;
	memcpy(via, &family, 2);
	memcpy(via + 2, gateway.bytes + (v4 ? 0 : 12), v4 ? 16 : 4);
	mnl_attr_put(header, RTA_VIA, v4 ? 18 : 6, via);
}

static void put_hops(struct nlmsghdr *header, bool v4, const struct hop_text *hops)
{
	struct nlattr *nest = mnl_attr_nest_start(header, RTA_MULTIPATH);

	for (; hops->device; hops++) {
		struct rtnexthop *next = mnl_nlmsg_get_payload_tail(header);

		*next = (struct rtnexthop){.rtnh_ifindex = (int)hops->device,
					   .rtnh_hops = (uint8_t)(hops->weight - 1)};
		header->nlmsg_len += sizeof(*next);
		put_gateway(header, v4, hops->gateway);
		next->rtnh_len =
			(uint16_t)((uint8_t *)mnl_nlmsg_get_payload_tail(header) - (uint8_t *)next);
	}
	mnl_attr_nest_end(header, nest);
}

static struct nlmsghdr *build(const struct message *m)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	struct rtmsg *info = mnl_nlmsg_put_extra_header(header, sizeof(*info));
	struct prefix to = prefix(m->to);
	bool v4 = addr_is_v4(&to.addr);

	header->nlmsg_type = m->type;
	header->nlmsg_flags = m->flags;
	info->rtm_family = v4 ? AF_INET : AF_INET6;
	info->rtm_dst_len = (uint8_t)(v4 ? to.bits - 96 : to.bits);
	info->rtm_type = m->route_type ? m->route_type : RTN_UNICAST;
	info->rtm_flags = m->rtm_flags;
	info->rtm_table = (uint8_t)(m->table ? m->table : RT_TABLE_MAIN);
	if (info->rtm_dst_len)
		mnl_attr_put(header, RTA_DST, v4 ? 4 : 16, to.addr.bytes + (v4 ? 12 : 0));
	mnl_attr_put_u32(header, RTA_TABLE, m->table ? m->table : RT_TABLE_MAIN);
	if (m->metric)
		mnl_attr_put_u32(header, RTA_PRIORITY, m->metric);
	if (m->device)
		mnl_attr_put_u32(header, RTA_OIF, m->device);
	put_gateway(header, v4, m->gateway);
	if (m->hops[0].device)
		put_hops(header, v4, m->hops);
	return header;
}

static void tell(struct message m)
{
	if (!m.device && !m.hops[0].device)
		m.device = DEVICE;
	system_routes_message(routes, build(&m), false);
}

static void dump(struct message m)
{
	m.type = RTM_NEWROUTE;
	if (!m.device)
		m.device = DEVICE;
	system_routes_message(routes, build(&m), true);
}

/* "10.1.0.0/16 10.42.0.2*1 10.42.0.3*2; ..." in the order of the list. */
static const char *known(void)
{
	static char text[8192];
	struct route list[128];
	char one[PREFIX_TEXT_MAX];
	bool failed;
	uint32_t count = system_routes_list(routes, list, 128, &failed);
	size_t at = 0;

	cr_assert_not(failed);
	cr_assert_eq(count, system_routes_count(routes));
	text[0] = '\0';
	for (uint32_t i = 0; i < count; i++) {
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i ? "; " : "",
				       prefix_format(&list[i].to, one));
		for (uint32_t k = 0; k < list[i].gateway_count; k++)
			at += (size_t)snprintf(text + at, sizeof(text) - at, " %s*%u",
					       addr_format(&list[i].gateways[k].addr, one),
					       list[i].gateways[k].weight);
	}
	return text;
}

#define KNOWN(expected) cr_expect_str_eq(known(), expected, "%s", known())

Test(system_routes, which_routes_count, .init = init, .fini = fini)
{
	static const struct {
		struct message message;
		const char *known;
	} rows[] = {
		{{.to = "10.1.0.0/16", .gateway = "10.42.0.2"}, "10.1.0.0/16 10.42.0.2*1"},
		{{.to = "0.0.0.0/0", .gateway = "10.42.0.2"}, "0.0.0.0/0 10.42.0.2*1"},
		{{.to = "fd99::/16", .gateway = "fd42::2"}, "fd99::/16 fd42::2*1"},
		{{.to = "::/0", .gateway = "fd42::2"}, "::/0 fd42::2*1"},
		/* a gateway of the other family */
		{{.to = "10.1.0.0/16", .gateway = "fd42::2"}, "10.1.0.0/16 fd42::2*1"},
		{{.to = "fd99::/16", .gateway = "10.42.0.2"}, "fd99::/16 10.42.0.2*1"},
		/* another table than the main one; not the local one */
		{{.to = "10.1.0.0/16", .gateway = "10.42.0.2", .table = 77},
		 "10.1.0.0/16 10.42.0.2*1"},
		{{.to = "10.1.0.0/16", .gateway = "10.42.0.2", .table = RT_TABLE_LOCAL}, ""},
		{{.to = "10.1.0.0/16"}, ""}, /* as our own tun.unsafe_routes are installed */
		{{.to = "10.1.0.0/16", .gateway = "10.43.0.2"}, ""}, /* not in our networks */
		{{.to = "10.1.0.0/16", .gateway = "10.42.0.1"}, ""}, /* ourselves */
		{{.to = "10.1.0.0/16", .gateway = "10.42.0.2", .device = 8}, ""},
		{{.to = "10.1.0.0/16", .gateway = "10.42.0.2", .route_type = RTN_BLACKHOLE}, ""},
		{{.to = "10.1.0.0/16", .gateway = "10.42.0.2", .rtm_flags = RTM_F_CLONED}, ""},
		{{.to = "10.1.0.0/16", .gateway = "10.42.0.2", .rtm_flags = RTNH_F_DEAD}, ""},
		/* weights are hops and one; what leaves elsewhere does not count */
		{{.to = "10.1.0.0/16",
		  .hops = {{"10.42.0.2", DEVICE, 1},
			   {"192.0.2.1", 2, 5},
			   {"10.42.0.3", DEVICE, 256},
			   {"fd42::4", DEVICE, 3},
			   {NULL, DEVICE, 3}}},
		 "10.1.0.0/16 10.42.0.2*1 10.42.0.3*256 fd42::4*3"},
		{{.to = "fd99::/16", .hops = {{"fd42::2", DEVICE, 2}, {"fd42::3", DEVICE, 1}}},
		 "fd99::/16 fd42::2*2 fd42::3*1"},
		{{.to = "10.1.0.0/16", .hops = {{"192.0.2.1", 2, 5}}}, ""},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct message m = rows[i].message;

		m.type = RTM_NEWROUTE;
		tell(m);
		cr_expect_str_eq(known(), rows[i].known, "row %zu: %s", i, known());
		m.type = RTM_DELROUTE;
		tell(m);
		cr_expect_eq(system_routes_count(routes), 0, "row %zu", i);
		cr_expect_not(system_routes_unsure(routes), "row %zu", i);
	}
}

Test(system_routes, more_next_hops_than_gateways, .init = init, .fini = fini)
{
	struct message m = {.type = RTM_NEWROUTE, .to = "10.1.0.0/16"};
	struct route route;
	bool failed;

	for (uint32_t i = 0; i < 19; i++)
		m.hops[i] = (struct hop_text){"10.42.0.9", DEVICE, 1};
	tell(m);
	cr_assert_eq(system_routes_list(routes, &route, 1, &failed), 1);
	cr_assert_eq(route.gateway_count, GATEWAYS_MAX);
}

Test(system_routes, what_changes_and_what_cannot_be_told, .init = init, .fini = fini)
{
	struct message first = {.type = RTM_NEWROUTE, .to = "10.1.0.0/16", .gateway = "10.42.0.2"};
	struct message second = first, elsewhere = first, gone = first;

	second.gateway = "10.42.0.3";
	second.flags = elsewhere.flags = NLM_F_REPLACE;
	elsewhere.gateway = "192.0.2.1";
	elsewhere.device = 2;
	gone.type = RTM_DELROUTE;

	tell(first);
	cr_expect(system_routes_changed(routes));
	system_routes_settled(routes);
	tell(second);
	KNOWN("10.1.0.0/16 10.42.0.3*1");
	cr_expect(system_routes_changed(routes));
	system_routes_settled(routes);
	tell(second);
	cr_expect_not(system_routes_changed(routes), "told again, nothing new");
	cr_expect_not(system_routes_unsure(routes));

	tell(gone); /* names a gateway that we do not hold: not the route we know */
	KNOWN("10.1.0.0/16 10.42.0.3*1");
	cr_expect(system_routes_unsure(routes));
	cr_expect_not(system_routes_unsure(routes), "asked once");

	tell(elsewhere); /* replaced by a route that is not ours */
	KNOWN("");
	tell(first);
	second.flags = NLM_F_APPEND;
	tell(second); /* behind the first: the kernel uses that */
	KNOWN("10.1.0.0/16 10.42.0.2*1");
	cr_expect(system_routes_unsure(routes));

	/* IPv6 tells a route whole, whenever it changes */
	tell((struct message){.type = RTM_NEWROUTE, .to = "fd99::/16", .gateway = "fd42::2"});
	tell((struct message){.type = RTM_NEWROUTE,
			      .flags = NLM_F_APPEND,
			      .to = "fd99::/16",
			      .hops = {{"fd42::2", DEVICE, 1}, {"fd42::3", DEVICE, 1}}});
	cr_expect_not(system_routes_unsure(routes));
	cr_expect(strstr(known(), "fd99::/16 fd42::2*1 fd42::3*1"), "%s", known());
	tell((struct message){.type = RTM_DELROUTE, .to = "fd99::/16", .gateway = "fd42::3"});
	cr_expect(system_routes_unsure(routes), "the loss of one next hop");
}

Test(system_routes, the_best_of_equal_prefixes_comes_last, .init = init, .fini = fini)
{
	static const struct {
		const char *gateway;
		uint32_t metric, table;
	} told[] = {{"10.42.0.1", 0, 0}, /* ourselves: passed over */
		    {"10.42.0.5", 50, 0},
		    {"10.42.0.6", 0, 99},
		    {"10.42.0.7", 10, 0},
		    {"10.42.0.8", 100, 0}};

	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
		tell((struct message){.type = RTM_NEWROUTE,
				      .to = "10.1.0.0/16",
				      .gateway = told[i].gateway,
				      .metric = told[i].metric,
				      .table = told[i].table});
	KNOWN("10.1.0.0/16 10.42.0.6*1; 10.1.0.0/16 10.42.0.8*1; 10.1.0.0/16 10.42.0.5*1; "
	      "10.1.0.0/16 10.42.0.7*1");
}

Test(system_routes, a_dump_forgets_what_it_does_not_name, .init = init, .fini = fini)
{
	struct message a = {.to = "10.1.0.0/16", .gateway = "10.42.0.2"};
	struct message b = {.to = "10.2.0.0/16", .gateway = "10.42.0.2"};
	struct message c = {.to = "10.3.0.0/16", .gateway = "10.42.0.2"};
	struct message six = {.to = "fd99::/16", .gateway = "fd42::2"};

	system_routes_dump_begin(routes);
	dump(a);
	dump(b);
	dump(six);
	system_routes_dump_end(routes, AF_INET);
	system_routes_dump_end(routes, AF_INET6);
	cr_expect_eq(system_routes_count(routes), 3);
	system_routes_settled(routes);

	system_routes_dump_begin(routes);
	dump(a);
	c.type = RTM_NEWROUTE;
	tell(c); /* made while the dump goes on */
	system_routes_dump_end(routes, AF_INET);
	cr_expect_eq(system_routes_count(routes), 3, "%s", known());
	cr_expect_not(strstr(known(), "10.2.0.0"));
	cr_expect(strstr(known(), "fd99::"), "its dump has not been yet");
	system_routes_dump_end(routes, AF_INET6);
	cr_expect_eq(system_routes_count(routes), 2);
	cr_expect(system_routes_changed(routes));

	/* several of one key: the first counts, and only a dump tells what is left when one goes */
	system_routes_dump_begin(routes);
	dump(a);
	a.gateway = "10.42.0.3";
	dump(a);
	system_routes_dump_end(routes, AF_INET);
	KNOWN("10.1.0.0/16 10.42.0.2*1");
	a.type = RTM_DELROUTE;
	a.gateway = "10.42.0.2";
	tell(a);
	cr_expect(system_routes_unsure(routes));
}

Test(system_routes, no_more_than_routes_max, .init = init, .fini = fini)
{
	char to[32];
	struct message m = {.type = RTM_NEWROUTE, .to = to, .gateway = "10.42.0.2"};

	for (int i = 0; i < ROUTES_MAX + 10; i++) {
		snprintf(to, sizeof(to), "20.%d.%d.0/24", i / 256, i % 256);
		tell(m);
	}
	cr_expect_eq(system_routes_count(routes), ROUTES_MAX);
	cr_expect_eq(system_routes_left_out(routes), 10);
	cr_expect_not(system_routes_unsure(routes));
	snprintf(to, sizeof(to), "20.0.0.0/24");
	m.type = RTM_DELROUTE;
	tell(m);
	cr_expect(system_routes_unsure(routes), "there is room: a dump finds who had none");
	system_routes_dump_begin(routes);
	cr_expect_eq(system_routes_left_out(routes), 0);
}

/* --- what no kernel sends ----------------------------------------------------------------------
 */

/* Every message cut at every byte, from memory that ends there. */
Test(system_routes, truncated, .init = init, .fini = fini)
{
	static const struct message messages[] = {
		{.type = RTM_NEWROUTE, .to = "10.1.0.0/16", .gateway = "10.42.0.2", .metric = 5},
		{.type = RTM_NEWROUTE, .to = "fd99::/16", .gateway = "10.42.0.2"},
		{.type = RTM_NEWROUTE,
		 .to = "10.1.0.0/16",
		 .hops = {{"10.42.0.2", DEVICE, 1}, {"fd42::4", DEVICE, 3}}},
	};

	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		struct message m = messages[i];
		uint32_t whole;

		m.device = m.hops[0].device ? 0 : DEVICE;
		whole = build(&m)->nlmsg_len;
		for (uint32_t length = NLMSG_HDRLEN; length < whole; length++) {
			struct nlmsghdr *cut = malloc(length);

			build(&m);
			memcpy(cut, buffer, length);
			cut->nlmsg_len = length;
			system_routes_message(routes, cut, length % 2);
			free(cut);
		}
	}
	system_routes_unsure(routes);
}

Test(system_routes, garbage, .init = init, .fini = fini)
{
	unsigned seed = SEED;

	for (int round = 0; round < 200000; round++) {
		struct message m = {.type = RTM_NEWROUTE,
				    .to = rand_r(&seed) % 2 ? "10.1.0.0/16" : "fd99::/16",
				    .device = DEVICE,
				    .hops = {{"10.42.0.2", DEVICE, 1}, {"fd42::4", DEVICE, 3}}};
		struct nlmsghdr *header = build(&m), *copy;

		for (int k = 1 + rand_r(&seed) % 6; k > 0; k--)
			buffer[NLMSG_HDRLEN +
			       (unsigned)rand_r(&seed) % (header->nlmsg_len - NLMSG_HDRLEN)] =
				(uint8_t)rand_r(&seed);
		if (rand_r(&seed) % 8 == 0)
			header->nlmsg_type = RTM_DELROUTE;
		copy = malloc(header->nlmsg_len);
		memcpy(copy, buffer, header->nlmsg_len);
		system_routes_message(routes, copy, rand_r(&seed) % 2);
		free(copy);
	}
	cr_expect_leq(system_routes_count(routes), ROUTES_MAX, "seed %d", SEED);
}

/* --- the real kernel ---------------------------------------------------------------------------
 */

static void run(const char *command)
{
	cr_assert_eq(system(command), 0, "%s", command);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct tun_device device;
static struct route_watch *watch;
static uint32_t tables; /* that would have been made */

static void watch_make(void)
{
	struct tun_options options = {.name = "m57w", .queues = 1};
	struct interface_plan plan = {.mtu = 1300, .network_count = 2, .networks = networks};
	char error[ERROR_LINE_MAX];

	if (geteuid() != 0 || access("/dev/net/tun", R_OK | W_OK) != 0 ||
	    unshare(CLONE_NEWNET) != 0)
		cr_skip("needs root, /dev/net/tun and network namespaces");
	networks[0] = prefix("10.42.0.1/16");
	networks[1] = prefix("fd42::1/64");
	cr_assert_eq(tun_open(&device, &options, error), 0, "%s", error);
	plan.name = device.name;
	plan.index = device.index;
	cr_assert_eq(interface_configure(&plan, error), 0, "%s", error);
	run("ip link set lo up; ip route add 10.1.0.0/16 via 10.42.0.2 dev m57w");
	watch = route_watch_open(device.index, networks, 2, 0);
	cr_assert_not_null(watch);
}

static void watch_end(void)
{
	route_watch_close(watch);
	tun_close(&device);
}

static const char *followed(void)
{
	routes = (struct system_routes *)route_watch_routes(watch);
	return known();
}

/* Does the loop's part until count routes are known and nothing is left to be told. */
static bool settle(uint32_t count)
{
	uint64_t end = now_ns() + 20000000000u;

	while (now_ns() < end) {
		route_watch_turn(watch, now_ns());
		tables += route_watch_due(watch, now_ns());
		if (system_routes_count(route_watch_routes(watch)) == count &&
		    route_watch_next_deadline(watch) == UINT64_MAX)
			return true;
		usleep(200);
	}
	return false;
}

#define FOLLOWED(count, expected)                                                                  \
	cr_assert(settle(count), "%s", followed());                                                \
	cr_expect_str_eq(followed(), expected, "%s", followed())

Test(system_routes, kernel_is_followed)
{
	watch_make();
	FOLLOWED(1, "10.1.0.0/16 10.42.0.2*1");
	run("ip route add 10.2.0.0/16 nexthop via 10.42.0.3 dev m57w weight 3 nexthop via "
	    "10.42.0.4 dev m57w");
	FOLLOWED(2, "10.1.0.0/16 10.42.0.2*1; 10.2.0.0/16 10.42.0.3*3 10.42.0.4*1");
	run("ip route replace 10.1.0.0/16 via 10.42.0.9 dev m57w; ip route del 10.2.0.0/16");
	FOLLOWED(1, "10.1.0.0/16 10.42.0.9*1");
	run("ip route add 10.1.0.0/16 via 10.42.0.10 dev m57w metric 7");
	FOLLOWED(2, "10.1.0.0/16 10.42.0.10*1; 10.1.0.0/16 10.42.0.9*1");
	run("ip route replace 10.1.0.0/16 dev lo; ip route del 10.1.0.0/16 metric 7");
	FOLLOWED(0, "");
	/* two of one key: the first is used, and when it goes the other */
	run("ip route add 10.3.0.0/16 via 10.42.0.3 dev m57w; "
	    "ip route append 10.3.0.0/16 via 10.42.0.4 dev m57w");
	FOLLOWED(1, "10.3.0.0/16 10.42.0.3*1");
	run("ip route del 10.3.0.0/16 via 10.42.0.3");
	FOLLOWED(1, "10.3.0.0/16 10.42.0.4*1");
	run("ip route del 10.3.0.0/16; ip route add 10.4.0.0/16 via inet6 fd42::7 dev m57w");
	FOLLOWED(1, "10.4.0.0/16 fd42::7*1");
	run("ip route del 10.4.0.0/16; ip -6 route add fd99::/48 nexthop via fd42::2 dev m57w "
	    "nexthop via fd42::3 dev m57w weight 2");
	FOLLOWED(1, "fd99::/48 fd42::2*1 fd42::3*2");
	run("ip -6 route del fd99::/48 via fd42::2 dev m57w");
	FOLLOWED(1, "fd99::/48 fd42::3*1");
	run("ip route add 10.5.0.0/16 via 10.42.0.5 dev m57w table 123");
	cr_assert(settle(2));
	/* the kernel forgets IPv4 routes of a device that goes down without a word */
	run("ip link set m57w down");
	cr_assert(settle(0), "%s", followed());
	run("ip link set m57w up; ip route add 10.6.0.0/16 via inet6 fe80::1 dev m57w || true; "
	    "ip route add 10.42.0.0/16 dev m57w; ip route add 10.7.0.0/16 via 10.42.0.7 src "
	    "10.42.0.1");
	FOLLOWED(1, "10.7.0.0/16 10.42.0.7*1");
	run("ip addr del 10.42.0.1/16 dev m57w");
	cr_assert(settle(0), "%s", followed());
	watch_end();
}

/* A route that refuses takes the place of ours, and goes without it: nothing of ours is left. */
Test(system_routes, refusing_routes_replace_ours)
{
	static const char *const types[] = {"blackhole", "unreachable", "prohibit", "throw"};

	watch_make();
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		char command[256];

		run("ip route replace 10.1.0.0/16 via 10.42.0.2 dev m57w; "
		    "ip -6 route replace fd99::/48 via fd42::2 dev m57w metric 5");
		FOLLOWED(2, "fd99::/48 fd42::2*1; 10.1.0.0/16 10.42.0.2*1");
		/* what stands behind ours does not count */
		snprintf(command, sizeof(command), "ip -6 route append %s fd99::/48 metric 5",
			 types[i]);
		run(command);
		FOLLOWED(2, "fd99::/48 fd42::2*1; 10.1.0.0/16 10.42.0.2*1");
		snprintf(command, sizeof(command), "ip route append %s 10.1.0.0/16", types[i]);
		run(command);
		FOLLOWED(2, "fd99::/48 fd42::2*1; 10.1.0.0/16 10.42.0.2*1");
		snprintf(command, sizeof(command),
			 "ip route del %s 10.1.0.0/16; ip -6 route flush fd99::/48; "
			 "ip -6 route add fd99::/48 via fd42::2 dev m57w metric 5",
			 types[i]);
		run(command);
		FOLLOWED(2, "fd99::/48 fd42::2*1; 10.1.0.0/16 10.42.0.2*1");
		snprintf(command, sizeof(command),
			 "ip route replace %s 10.1.0.0/16; "
			 "ip -6 route replace %s fd99::/48 metric 5",
			 types[i], types[i]);
		run(command);
		FOLLOWED(0, "");
		snprintf(command, sizeof(command),
			 "ip route del %s 10.1.0.0/16; ip -6 route del %s fd99::/48 metric 5",
			 types[i], types[i]);
		run(command);
		FOLLOWED(0, "");
	}
	watch_end();
}

/* Routes that name a nexthop object, as FRR makes them, go or change with it without a word. */
Test(system_routes, nexthop_objects_are_followed)
{
	watch_make();
	run("ip nexthop add id 1 via 10.42.0.3 dev m57w; ip nexthop add id 2 via 10.42.0.4 dev "
	    "m57w; ip nexthop add id 10 group 1/2; ip route add 10.2.0.0/16 nhid 10; "
	    "ip route add 10.3.0.0/16 nhid 2");
	FOLLOWED(3, "10.1.0.0/16 10.42.0.2*1; 10.2.0.0/16 10.42.0.3*1 10.42.0.4*1; "
		    "10.3.0.0/16 10.42.0.4*1");
	run("ip nexthop del id 2");
	FOLLOWED(2, "10.1.0.0/16 10.42.0.2*1; 10.2.0.0/16 10.42.0.3*1");
	run("ip nexthop replace id 1 via 10.42.0.9 dev m57w");
	FOLLOWED(2, "10.1.0.0/16 10.42.0.2*1; 10.2.0.0/16 10.42.0.9*1");
	run("ip nexthop del id 10");
	FOLLOWED(1, "10.1.0.0/16 10.42.0.2*1");
	run("ip -6 nexthop add id 3 via fd42::2 dev m57w; ip -6 nexthop add id 4 via fd42::3 dev "
	    "m57w; ip nexthop add id 11 group 3/4; ip -6 route add fd99::/48 nhid 11");
	FOLLOWED(2, "fd99::/48 fd42::2*1 fd42::3*1; 10.1.0.0/16 10.42.0.2*1");
	run("ip nexthop del id 4");
	FOLLOWED(2, "fd99::/48 fd42::2*1; 10.1.0.0/16 10.42.0.2*1");
	run("ip nexthop del id 11");
	FOLLOWED(1, "10.1.0.0/16 10.42.0.2*1");
	watch_end();
}

/* The route goes with the source that it prefers, of which older kernels say nothing. */
Test(system_routes, a_preferred_source_on_another_device_goes)
{
	uint64_t before;

	watch_make();
	run("ip addr add 192.0.2.1/32 dev lo; "
	    "ip route add 10.2.0.0/16 via 10.42.0.3 dev m57w src 192.0.2.1");
	FOLLOWED(2, "10.1.0.0/16 10.42.0.2*1; 10.2.0.0/16 10.42.0.3*1");
	before = route_watch_dumps(watch);
	run("ip addr del 192.0.2.1/32 dev lo");
	FOLLOWED(1, "10.1.0.0/16 10.42.0.2*1");
	cr_expect_eq(route_watch_dumps(watch), before + 1, "the table is read anew all the same");
	watch_end();
}

/* Until another dump has been asked for; nothing of it has been read. */
static void dump_asked(void)
{
	uint64_t before = route_watch_dumps(watch), end = now_ns() + 20000000000u;

	while (route_watch_dumps(watch) == before && now_ns() < end) {
		(void)route_watch_due(watch, now_ns());
		if (route_watch_dumps(watch) == before)
			route_watch_turn(watch, now_ns());
		usleep(200);
	}
	cr_assert_eq(route_watch_dumps(watch), before + 1);
}

/* What the kernel says at the end of one that it could not finish, instead of its whole answer. */
static void break_dump(uint32_t sequence, int error)
{
	struct {
		struct nlmsghdr header;
		int error;
	} done = {{.nlmsg_len = sizeof(done),
		   .nlmsg_type = NLMSG_DONE,
		   .nlmsg_flags = NLM_F_MULTI,
		   .nlmsg_seq = sequence},
		  error};
	int pair[2], fd = route_watch_fd(watch), real = dup(fd);

	cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	cr_assert_eq(dup2(pair[0], fd), fd);
	cr_assert_eq(send(pair[1], &done, sizeof(done), 0), (ssize_t)sizeof(done));
	route_watch_turn(watch, now_ns());
	cr_assert_eq(dup2(real, fd), fd);
	close(real);
	close(pair[0]);
	close(pair[1]);
}

Test(system_routes, a_dump_that_breaks_off_takes_nothing_away)
{
	watch_make();
	FOLLOWED(1, "10.1.0.0/16 10.42.0.2*1");
	run("ip addr add 10.42.0.99/32 dev m57w; ip addr del 10.42.0.99/32 dev m57w");
	dump_asked(); /* two families were asked for before */
	break_dump(3, -ENOMEM);
	cr_expect_eq(system_routes_count(route_watch_routes(watch)), 1);
	cr_expect_neq(route_watch_next_deadline(watch), UINT64_MAX, "it is asked for again");
	FOLLOWED(1, "10.1.0.0/16 10.42.0.2*1");
	watch_end();
}

static void batch(const char *verb, int count)
{
	FILE *pipe = popen("ip -batch -", "w");

	cr_assert_not_null(pipe);
	for (int i = 0; i < count; i++)
		fprintf(pipe, "route %s 20.%d.%d.0/24 via 10.42.0.%d dev m57w\n", verb, i / 256,
			i % 256, 2 + i % 200);
	cr_assert_eq(pclose(pipe), 0);
}

Test(system_routes, a_burst_becomes_few_tables)
{
	watch_make();
	cr_assert(settle(1));
	tables = 0;
	batch("add", 10000); /* nobody reads meanwhile: the buffer overruns */
	cr_assert(settle(10001));
	cr_expect_gt(route_watch_overruns(watch), 0);
	cr_expect_gt(route_watch_dumps(watch), 1);
	cr_expect_leq(tables, 3);
	batch("del", 10000);
	cr_assert(settle(1));
	cr_expect_leq(tables, 6);
	watch_end();
}
