/* addr_text_test.c - addresses as text, both ways. */
#include <criterion/criterion.h>
#include <errno.h>

#include "addr_text.h"

TestSuite(addr_text);

Test(addr_text, addresses)
{
	static const struct {
		const char *in, *out; /* out NULL: refused */
		bool v4;
	} rows[] = {
		{"10.42.0.1", "10.42.0.1", true},
		{"255.255.255.255", "255.255.255.255", true},
		{"0.0.0.0", "0.0.0.0", true},
		{"fd42::1", "fd42::1", false},
		{"FD42:0:0:0:0:0:0:1", "fd42::1", false},
		{"::", "::", false},
		{"::ffff:10.42.0.1", "10.42.0.1", true},
		{"2001:db8:1111:2222:3333:4444:5555:6666", "2001:db8:1111:2222:3333:4444:5555:6666",
		 false},
		{"", NULL, false},
		{" 10.0.0.1", NULL, false},
		{"10.0.0.1 ", NULL, false},
		{"10.0.0", NULL, false},
		{"10.0.0.256", NULL, false},
		{"010.0.0.1", NULL, false},
		{"10.0.0.1/8", NULL, false},
		{"fe80::1%eth0", NULL, false},
		{"[fd42::1]", NULL, false},
		{"host", NULL, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct addr addr = {{0x55}};
		char text[ADDR_TEXT_MAX];
		int err = addr_parse(rows[i].in, &addr);

		cr_assert_eq(err, rows[i].out != NULL ? 0 : -EINVAL, "\"%s\"", rows[i].in);
		if (rows[i].out == NULL) {
			cr_assert_eq(addr.bytes[0], 0x55, "\"%s\" wrote its result", rows[i].in);
			continue;
		}
		cr_assert_eq(addr_is_v4(&addr), rows[i].v4);
		cr_assert_str_eq(addr_format(&addr, text), rows[i].out);
	}
}

Test(addr_text, prefixes)
{
	static const struct {
		const char *in, *out;
		unsigned bits;
	} rows[] = {
		{"10.42.0.1/16", "10.42.0.1/16", 112},
		{"0.0.0.0/0", "0.0.0.0/0", 96},
		{"10.0.0.1/32", "10.0.0.1/32", 128},
		{"fd42::1/64", "fd42::1/64", 64},
		{"::/0", "::/0", 0},
		{"fd42::1/128", "fd42::1/128", 128},
		{"::ffff:10.0.0.1/120", "10.0.0.1/24", 120},
		{"::ffff:10.0.0.1/90", NULL, 0},
		{"10.0.0.1/33", NULL, 0},
		{"10.0.0.1/-1", NULL, 0},
		{"10.0.0.1/+8", NULL, 0},
		{"10.0.0.1/08", NULL, 0},
		{"10.0.0.1/", NULL, 0},
		{"10.0.0.1/8x", NULL, 0},
		{"10.0.0.1/8/8", NULL, 0},
		{"10.0.0.1/4294967304", NULL, 0},
		{"10.0.0.1", NULL, 0},
		{"/8", NULL, 0},
		{"fd42::1/129", NULL, 0},
		{"1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111/8", NULL, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct prefix prefix;
		char text[PREFIX_TEXT_MAX];
		int err = prefix_parse(rows[i].in, &prefix);

		cr_assert_eq(err, rows[i].out != NULL ? 0 : -EINVAL, "\"%s\"", rows[i].in);
		if (rows[i].out == NULL)
			continue;
		cr_assert_eq(prefix.bits, rows[i].bits, "\"%s\"", rows[i].in);
		cr_assert_str_eq(prefix_format(&prefix, text), rows[i].out);
	}
}

Test(addr_text, endpoints)
{
	static const struct {
		const char *in, *out;
		unsigned port;
	} rows[] = {
		{"10.0.0.1:4242", "10.0.0.1:4242", 4242},
		{"10.0.0.1:0", "10.0.0.1:0", 0},
		{"[fd42::1]:65535", "[fd42::1]:65535", 65535},
		{"[::ffff:10.0.0.1]:80", "10.0.0.1:80", 80},
		{"10.0.0.1:65536", NULL, 0},
		{"10.0.0.1:", NULL, 0},
		{"10.0.0.1:-1", NULL, 0},
		{"10.0.0.1:80 ", NULL, 0},
		{"10.0.0.1", NULL, 0},
		{"fd42::1:80", NULL, 0},
		{"[fd42::1]", NULL, 0},
		{"[fd42::1]80", NULL, 0},
		{"[10.0.0.1]:80", NULL, 0},
		{"[]:80", NULL, 0},
		{"[:80", NULL, 0},
		{":80", NULL, 0},
		{"", NULL, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct endpoint endpoint;
		char text[ENDPOINT_TEXT_MAX];
		int err = endpoint_parse(rows[i].in, &endpoint);

		cr_assert_eq(err, rows[i].out != NULL ? 0 : -EINVAL, "\"%s\"", rows[i].in);
		if (rows[i].out == NULL)
			continue;
		cr_assert_eq(endpoint.port, rows[i].port);
		cr_assert_str_eq(endpoint_format(&endpoint, text), rows[i].out);
	}
}
