/* config_lighthouse_test.c - lighthouse.*, preferred_ranges and punchy.* as they are read. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "addr_text.h"
#include "unit/control/config_fixture.h"

TestSuite(config_lighthouse, .fini = fini);

/* PKI_LINE stands in line 1, text from line 2. */
static const struct lighthouse_options *load(const char *text)
{
	char whole[4096];

	snprintf(whole, sizeof(whole), PKI_LINE "%s\n", text);
	load_text(whole);
	cr_assert_not_null(config, "%s", text);
	return &config->lighthouse;
}

static struct addr addr_of(const char *text)
{
	struct addr addr;

	cr_assert_eq(addr_parse(text, &addr), 0);
	return addr;
}

Test(config_lighthouse, defaults)
{
	const struct lighthouse_options *o = load("");

	cr_assert(!o->am_lighthouse && !o->punch_respond);
	cr_assert_eq(o->interval_ns, 10000000000);
	cr_assert_eq(o->punch_delay_ns, 1000000000);
	cr_assert_eq(o->respond_delay_ns, 5000000000);
	cr_assert_eq(o->host_count + o->advertise_count + o->calculated_count + o->preferred_count,
		     0);
	cr_assert_null(o->remote_allow.all);
	cr_assert_null(o->local_allow.addrs);
	cr_assert_eq(findings.count, 0, "%s", first());
}

Test(config_lighthouse, all_of_it)
{
	const struct lighthouse_options *o = load(
		"static_host_map: {10.42.0.9: ['192.0.2.9:4242'], 10.42.0.8: ['192.0.2.8:4242']}\n"
		"preferred_ranges: [172.16.5.9/16, 'fd00::/8']\n"
		"punchy: {respond: true, delay: 2s, respond_delay: 300ms}\n"
		"lighthouse:\n"
		"  interval: 60\n"
		"  hosts: [10.42.0.9, '10.42.0.8']\n"
		"  advertise_addrs: ['203.0.113.1:0', '[2001:db8::1]:99']\n"
		"  remote_allow_list: {10.0.0.0/8: false, 0.0.0.0/0: yes}\n"
		"  remote_allow_ranges:\n"
		"    10.42.1.0/24: {192.0.2.0/24: true}\n"
		"  local_allow_list:\n"
		"    interfaces: {'docker.*': false, 'tun\\d+': false}\n"
		"    10.9.0.0/16: false\n"
		"  calculated_remotes:\n"
		"    10.42.0.0/16:\n"
		"    - {mask: 192.168.0.0/16, port: 4242}\n"
		"    - {mask: 172.16.0.0/12, port: '4243'}\n");
	struct addr ten = addr_of("10.1.1.1"), doc = addr_of("192.0.2.1"),
		    host = addr_of("10.42.1.5"), far = addr_of("203.0.113.5"),
		    nine = addr_of("10.9.1.1");

	cr_assert_eq(findings.count, 0, "%s", first());
	cr_assert_eq(o->interval_ns, 60000000000);
	cr_assert_eq(o->host_count, 2);
	cr_assert_eq(addr_v4(&o->hosts[1]), 0x0a2a0008);
	cr_assert_eq(o->advertise_count, 2);
	cr_assert_eq(o->advertise[0].port, 0);
	cr_assert_eq(o->advertise[1].port, 99);
	cr_assert(!remote_allow_permits(&o->remote_allow, NULL, &ten));
	cr_assert(remote_allow_permits(&o->remote_allow, NULL, &doc));
	cr_assert(remote_allow_permits(&o->remote_allow, &host, &doc));
	cr_assert(!remote_allow_permits(&o->remote_allow, &host, &far));
	cr_assert(local_allow_permits(&o->local_allow, "eth0", &ten));
	cr_assert(!local_allow_permits(&o->local_allow, "eth0", &nine));
	cr_assert(!local_allow_permits(&o->local_allow, "docker0", &ten));
	cr_assert(!local_allow_permits(&o->local_allow, "tun12", &ten));
	cr_assert(local_allow_permits(&o->local_allow, "tunnel", &ten));
	cr_assert(local_allow_permits(&o->local_allow, "tun12x", &ten), "the whole name");
	cr_assert(local_allow_permits(&o->local_allow, "xtun12", &ten), "the whole name");
	cr_assert_eq(o->calculated_count, 2);
	cr_assert_eq(o->calculated[1].port, 4243);
	cr_assert_eq(o->preferred_count, 2);
	cr_assert_eq(addr_v4(&o->preferred[0].addr), 0xac100000, "masked");
	cr_assert(o->punch_respond);
	cr_assert_eq(o->punch_delay_ns, 2000000000);
	cr_assert_eq(o->respond_delay_ns, 300000000);
}

/* Rules are read as Nebula reads them. */
Test(config_lighthouse, interfaces_are_hidden_as_by_nebula)
{
	const struct lighthouse_options *o =
		load("lighthouse:\n"
		     "  local_allow_list:\n"
		     "    interfaces: {'docker|br-.*': false, 'tun[\\d]': false}\n");
	struct addr addr = addr_of("192.0.2.1");

	cr_assert_eq(findings.count, 0, "%s", first());
	cr_assert(!local_allow_permits(&o->local_allow, "docker0", &addr));
	cr_assert(!local_allow_permits(&o->local_allow, "br-1", &addr));
	cr_assert(!local_allow_permits(&o->local_allow, "tun1", &addr));
	cr_assert(local_allow_permits(&o->local_allow, "eth0", &addr));
}

Test(config_lighthouse, hosts_given_twice_count_once)
{
	const struct lighthouse_options *o =
		load("static_host_map: {10.42.0.9: ['192.0.2.9:4242']}\n"
		     "lighthouse: {hosts: [10.42.0.9, 10.42.0.9]}");

	cr_assert_eq(o->host_count, 1);
	cr_assert_eq(findings.count, 0, "%s", first());
}

Test(config_lighthouse, old_names)
{
	cr_assert(load("punch_back: true")->punch_respond);
	cr_assert(!load("punch_back: true\npunchy: {respond: no}")->punch_respond);
	cr_assert_eq(findings.count, 0, "%s", first());
}

Test(config_lighthouse, a_lighthouse)
{
	cr_assert(load("lighthouse: {am_lighthouse: true}\nlisten: {port: 4242}")->am_lighthouse);
	cr_assert_eq(findings.count, 0, "%s", first());
	load("lighthouse: {interval: 0, hosts: []}");
	cr_assert_eq(config->lighthouse.interval_ns, 0);
	cr_assert_eq(findings.count, 0, "%s", first());
}

/* Nebula takes brackets, and names too: Go resolves them. */
Test(config_lighthouse, dns_host)
{
	static const struct {
		const char *text, *addr, *name;
		bool any;
	} cases[] = {
		{"''", NULL, "", true},
		{"'[::]'", NULL, "", true},
		{"'::'", NULL, "", true},
		{"0.0.0.0", "0.0.0.0", "", false},
		{"192.0.2.1", "192.0.2.1", "", false},
		{"'[2001:db8::1]'", "2001:db8::1", "", false},
		{"'2001:db8::1'", "2001:db8::1", "", false},
		{"localhost", NULL, "localhost", false},
		{"lh1.Example.org", NULL, "lh1.Example.org", false},
	};
	char text[200];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text),
			 "listen: {port: 1}\n"
			 "lighthouse: {am_lighthouse: true, serve_dns: true, dns: {host: %s}}",
			 cases[i].text);
		load(text);
		cr_assert_eq(findings.count, 0, "%s: %s", cases[i].text, first());
		cr_assert(config->dns.serve);
		cr_assert_eq(config->dns.any, cases[i].any, "%s", cases[i].text);
		cr_assert_str_eq(config->dns.name, cases[i].name);
		if (cases[i].addr) {
			struct addr addr = addr_of(cases[i].addr);

			cr_assert(addr_equal(&config->dns.host, &addr), "%s", cases[i].text);
		}
	}
}

/* One finding each. */
Test(config_lighthouse, mistakes)
{
	static const struct {
		const char *text;
		enum severity severity;
		uint32_t line;
		const char *says;
	} cases[] = {
		{"lighthouse:\n  am_lighthouse: true", SEVERITY_ERROR, 3, "listen.port"},
		{"lighthouse: {am_lighthouse: true, hosts: [10.0.0.1]}\nlisten: {port: 1}\n"
		 "static_host_map: {10.0.0.1: ['192.0.2.1:1']}",
		 SEVERITY_WARNING, 2, "no effect on a lighthouse"},
		{"lighthouse:\n  hosts:\n  - 10.0.0.1", SEVERITY_ERROR, 4, "static_host_map"},
		{"lighthouse:\n  hosts:\n  - 10.0.0.1", SEVERITY_ERROR, 4, "if it is this host"},
		{"lighthouse: {hosts: [x]}", SEVERITY_ERROR, 2, "\"x\" is no address"},
		{"lighthouse: {hosts: [[1]]}", SEVERITY_ERROR, 2, "is no address"},
		{"lighthouse: {hosts: 10.0.0.1}", SEVERITY_ERROR, 2, "is not a list"},
		{"lighthouse: {interval: -1}", SEVERITY_WARNING, 2, "0 is used"},
		{"lighthouse:\n  interval: 5\n  serve_dns: true", SEVERITY_WARNING, 4, "no effect"},
		{"lighthouse: {interval: abc}", SEVERITY_WARNING, 2, "default 10"},
		{"lighthouse: {advertise_addrs: [192.0.2.1]}", SEVERITY_ERROR, 2,
		 "not ADDRESS:PORT"},
		{"lighthouse: {advertise_addrs: ['a_b..example:1']}", SEVERITY_ERROR, 2,
		 "not ADDRESS:PORT"},
		{"lighthouse: {remote_allow_list: 5}", SEVERITY_ERROR, 2, "not a map"},
		{"lighthouse: {remote_allow_list: {x: true}}", SEVERITY_ERROR, 2, "no prefix"},
		{"lighthouse: {remote_allow_list: {10.0.0.0/8: 1}}", SEVERITY_ERROR, 2,
		 "not true or false"},
		{"lighthouse: {remote_allow_list: {10.0.0.0/8: 'Yes'}}", SEVERITY_ERROR, 2,
		 "not true or false"},
		{"lighthouse: {remote_allow_list: {10.0.0.0/8: true, 10.1.0.0/16: false}}",
		 SEVERITY_ERROR, 2, "0.0.0.0/0"},
		{"lighthouse: {remote_allow_list: {'fd00::/8': true, 'fd01::/16': false}}",
		 SEVERITY_ERROR, 2, "::/0"},
		{"lighthouse: {remote_allow_list: {interfaces: true}}", SEVERITY_ERROR, 2,
		 "no prefix"},
		{"lighthouse: {remote_allow_ranges: {10.0.0.0/8: true}}", SEVERITY_ERROR, 2,
		 "not a map"},
		{"lighthouse: {remote_allow_ranges: {10.0.0.0/8: }}", SEVERITY_ERROR, 2,
		 "has an empty entry"},
		{"lighthouse: {local_allow_list: {interfaces: }}", SEVERITY_ERROR, 2,
		 "has an empty entry"},
		{"lighthouse: {local_allow_list: {interfaces: {a: true, b: false}}}",
		 SEVERITY_ERROR, 2, "must be equal"},
		{"lighthouse: {local_allow_list: {interfaces: [a]}}", SEVERITY_ERROR, 2,
		 "interfaces is not a map"},
		{"lighthouse: {local_allow_list: {interfaces: {'(': true}}}", SEVERITY_ERROR, 2,
		 "regular expression"},
		{"lighthouse: {calculated_remotes: {10.0.0.0/8: 5}}", SEVERITY_ERROR, 2,
		 "not a list"},
		{"lighthouse: {calculated_remotes: {10.0.0.0/8: [{mask: 1.0.0.0/8}]}}",
		 SEVERITY_ERROR, 2, "no port"},
		{"lighthouse: {calculated_remotes: {10.0.0.0/8: [{mask: 'fd00::/8', port: 1}]}}",
		 SEVERITY_ERROR, 2, "both IPv4"},
		{"lighthouse: {calculated_remotes: {10.0.0.0/8: [{mask: 1.0.0.0/8, port: 0}]}}",
		 SEVERITY_ERROR, 2, "1 and 65535"},
		{"static_host_map:\n  10.0.0.1: ['192.0.2.1:1']\n"
		 "lighthouse: {remote_allow_list: {192.0.2.0/24: false}}",
		 SEVERITY_WARNING, 3, "forbidden by"},
		{"lighthouse: {dns: {host: '192.0.2.1:53'}}", SEVERITY_ERROR, 2, "no host name"},
		{"lighthouse: {dns: {host: '[192.0.2'}}", SEVERITY_ERROR, 2, "no host name"},
		{"lighthouse: {dns: {host: a..b}}", SEVERITY_ERROR, 2, "no host name"},
		{"lighthouse: {dns: {host: '1.2.3'}}", SEVERITY_ERROR, 2, "no host name"},
		{"preferred_ranges: [10.0.0.0/33]", SEVERITY_ERROR, 2, "no prefix"},
		{"punchy: {delay: 5}", SEVERITY_WARNING, 2, "default 1s"},
		{"punchy: {respond_delay: 300h}", SEVERITY_WARNING, 2, "too long"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		load(cases[i].text);
		cr_assert_eq(findings.count, 1, "%s: %u: %s", cases[i].text, findings.count,
			     first());
		cr_assert_eq(findings.list[0].severity, cases[i].severity, "%s: %s", cases[i].text,
			     first());
		cr_assert_eq(findings.list[0].line, cases[i].line, "%s: line %u", cases[i].text,
			     findings.list[0].line);
		cr_assert(strstr(findings.list[0].text, cases[i].says), "%s: %s", cases[i].text,
			  first());
	}
}
