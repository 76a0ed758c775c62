/* dns_test.c - a lighthouse's DNS: bytes, the table of names, the socket. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns.h"
#include "peers/dns_names.h"
#include "system/resolver.h"

TestSuite(dns_responder);

static size_t ask(uint8_t *out, const char *name, unsigned type, unsigned flags)
{
	size_t at = DNS_HEADER_BYTES;

	memset(out, 0, DNS_HEADER_BYTES);
	out[0] = 0x12;
	out[1] = 0x34;
	out[2] = (uint8_t)(flags >> 8);
	out[5] = 1;
	while (*name) {
		size_t label = strcspn(name, ".");

		out[at++] = (uint8_t)label;
		memcpy(out + at, name, label);
		at += label;
		name += label + (name[label] == '.');
	}
	out[at++] = 0;
	memcpy(out + at, (uint8_t[]){0, (uint8_t)type, 0, 1}, 4);
	return at + 4;
}

static enum dns_read read_exact(const uint8_t *bytes, size_t length, struct dns_query *query,
				enum dns_code *code)
{
	static uint8_t *exact;

	free(exact); /* of the query before: query points into it */
	exact = malloc(length ? length : 1);
	memcpy(exact, bytes, length);
	return dns_read(exact, length, query, code);
}

Test(dns_responder, a_query_cut_anywhere)
{
	uint8_t bytes[512];
	size_t length = ask(bytes, "Host.Example", DNS_AAAA, 0x100);
	enum dns_code code;
	struct dns_query query;

	cr_assert_eq(read_exact(bytes, length, &query, &code), DNS_READ);
	cr_assert_str_eq(query.name, "host.example");
	cr_assert_eq(query.type, DNS_AAAA);
	cr_assert_eq(query.id, 0x1234);
	cr_assert_eq(query.size, DNS_PLAIN_MAX);
	for (size_t cut = 0; cut < length; cut++)
		cr_assert_eq(read_exact(bytes, cut, &query, &code),
			     cut < DNS_HEADER_BYTES ? DNS_IGNORED : DNS_BROKEN, "cut at %zu", cut);
}

Test(dns_responder, what_is_refused)
{
	static const struct {
		const char *name;
		uint8_t at, value; /* of the query for "a.b" */
		enum dns_read result;
		enum dns_code code;
	} rows[] = {
		{"a reply", 2, 0x80, DNS_IGNORED, 0},
		{"notify", 2, 0x20, DNS_BROKEN, DNS_NOT_IMPLEMENTED},
		{"no question", 5, 0, DNS_BROKEN, DNS_FORMAT_ERROR},
		{"two questions", 5, 2, DNS_BROKEN, DNS_FORMAT_ERROR},
		{"thousands", 4, 0xff, DNS_BROKEN, DNS_FORMAT_ERROR},
		{"an answer in it", 7, 1, DNS_BROKEN, DNS_FORMAT_ERROR},
		{"an authority in it", 9, 1, DNS_BROKEN, DNS_FORMAT_ERROR},
		{"a pointer to itself", 12, 0xc0, DNS_BROKEN, DNS_FORMAT_ERROR},
		{"a label of 64", 12, 64, DNS_BROKEN, DNS_FORMAT_ERROR},
		{"a label beyond the end", 12, 60, DNS_BROKEN, DNS_FORMAT_ERROR},
		{"a dot within", 13, '.', DNS_BROKEN, DNS_FORMAT_ERROR},
		{"a zero within", 13, 0, DNS_BROKEN, DNS_FORMAT_ERROR},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t bytes[64], reply[DNS_REPLY_MAX];
		size_t length = ask(bytes, "a.b", DNS_A, 0);
		struct dns_query query;
		struct dns_reply out;
		enum dns_code code = 0;

		bytes[rows[i].at] = rows[i].value;
		cr_assert_eq(read_exact(bytes, length, &query, &code), rows[i].result, "%s",
			     rows[i].name);
		if (rows[i].result != DNS_BROKEN)
			continue;
		cr_assert_eq(code, rows[i].code, "%s", rows[i].name);
		dns_begin(&out, reply, &query);
		cr_assert_eq(dns_end(&out, code), DNS_HEADER_BYTES);
		cr_assert_eq(reply[3] & 15, rows[i].code);
		cr_assert_eq(reply[0], 0x12);
	}
}

Test(dns_responder, longest_name)
{
	char name[400] = "";
	uint8_t bytes[512];
	struct dns_query query;
	enum dns_code code;

	for (int i = 0; i < 4; i++)
		memset(name + 64 * i, 'a' + i, 63), name[64 * i + 63] = '.';
	name[HOSTNAME_MAX] = '\0';
	cr_assert_eq(read_exact(bytes, ask(bytes, name, DNS_A, 0), &query, &code), DNS_READ);
	cr_assert_str_eq(query.name, name);
	name[HOSTNAME_MAX] = 'x';
	cr_assert_eq(read_exact(bytes, ask(bytes, name, DNS_A, 0), &query, &code), DNS_BROKEN);
	memset(name, 'a', 64);
	name[64] = '\0';
	cr_assert_eq(read_exact(bytes, ask(bytes, name, DNS_A, 0), &query, &code), DNS_BROKEN,
		     "a label of 64, and all of it there");
}

/* Too much for a datagram: no records, marked as truncated; never more than 1232 bytes. */
Test(dns_responder, too_long)
{
	uint8_t bytes[512], reply[DNS_REPLY_MAX], data[DNS_REPLY_MAX];
	size_t length = ask(bytes, "x", DNS_TXT, 0), used = 0;
	char text[256];
	struct dns_query query;
	struct dns_reply out;
	enum dns_code code;

	memset(text, 'x', 255);
	text[255] = '\0';
	for (int i = 0; i < 3; i++)
		dns_text(data, sizeof(data), &used, text);
	cr_assert_eq(read_exact(bytes, length, &query, &code), DNS_READ);
	dns_begin(&out, reply, &query);
	dns_record(&out, &query, data, used);
	cr_assert_eq(dns_end(&out, DNS_NO_ERROR), length);
	cr_assert(reply[2] & 2, "truncated");
	cr_assert_eq(reply[7], 0);

	/* EDNS with 4096: up to 1232 */
	bytes[11] = 1;
	memcpy(bytes + length, (uint8_t[]){0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0}, 11);
	cr_assert_eq(read_exact(bytes, length + 11, &query, &code), DNS_READ);
	cr_assert_eq(query.size, DNS_REPLY_MAX);
	dns_begin(&out, reply, &query);
	dns_record(&out, &query, data, used);
	cr_assert_eq(dns_end(&out, DNS_NO_ERROR), length + 12 + used);
	dns_begin(&out, reply, &query);
	dns_record(&out, &query, data, used);
	dns_record(&out, &query, data, used);
	cr_assert_eq(dns_end(&out, DNS_NO_ERROR), length, "nor what had room before it was full");
	cr_assert_eq(reply[7], 0);
	for (int i = 0; i < 3; i++)
		dns_text(data, sizeof(data), &used, text);
	dns_begin(&out, reply, &query);
	dns_record(&out, &query, data, used);
	cr_assert_eq(dns_end(&out, DNS_NO_ERROR), length);
	cr_assert(reply[2] & 2);
}

/* Header, question as asked, one record of its name. */
Test(dns_responder, byte_by_byte)
{
	static const uint8_t reply_bytes[] = {
		0x12, 0x34, 0x81, 0x05, 0, 1,   0,   1,  0,    0,    0, 0, /* header */
		1,    'A',  1,    'b',  0, 0,   1,   0,  1,                /* question */
		0xc0, 12,   0,    1,    0, 1,   0,   0,  0x0e, 0x10, /* name, type, class, TTL */
		0,    6,    1,    'x',  3, 'y', 'e', 's'};
	uint8_t bytes[64], reply[DNS_REPLY_MAX], data[8];
	struct dns_query query;
	struct dns_reply out;
	enum dns_code code;
	size_t used = 0;

	memset(reply, 0xee, sizeof(reply));
	dns_text(data, sizeof(data), &used, "x");
	dns_text(data, sizeof(data), &used, "yes");
	cr_assert_eq(used, 6);
	cr_assert_eq(read_exact(bytes, ask(bytes, "A.b", DNS_A, 0x100), &query, &code), DNS_READ);
	dns_begin(&out, reply, &query);
	dns_record(&out, &query, data, used);
	cr_assert_eq(dns_end(&out, DNS_REFUSED), sizeof(reply_bytes));
	cr_assert_arr_eq(reply, reply_bytes, sizeof(reply_bytes));

	/* what does not fit takes what comes behind it along */
	dns_text(data, sizeof(data), &used, "xx");
	dns_text(data, sizeof(data), &used, "");
	cr_assert_gt(used, sizeof(data));
}

/* The asker's size counts where OPT is the first record behind the question, and is no less than
 * 512. */
Test(dns_responder, edns)
{
	static const struct {
		const char *name;
		uint8_t additional;
		uint8_t record[11];
		size_t bytes;
		uint16_t size;
	} rows[] = {
		{"OPT", 1, {0, 0, 41, 3, 0xe8}, 11, 1000},
		{"small", 1, {0, 0, 41, 1, 0xff}, 11, DNS_PLAIN_MAX},
		{"not announced", 0, {0, 0, 41, 3, 0xe8}, 11, DNS_PLAIN_MAX},
		{"cut", 1, {0, 0, 41, 3, 0xe8}, 10, DNS_PLAIN_MAX},
		{"announced alone", 1, {0}, 0, DNS_PLAIN_MAX},
		{"of a name", 1, {1, 0, 41, 3, 0xe8}, 11, DNS_PLAIN_MAX},
		{"another type", 1, {0, 0, 42, 3, 0xe8}, 11, DNS_PLAIN_MAX},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t bytes[64];
		size_t length = ask(bytes, "a.b", DNS_A, 0);
		struct dns_query query;
		enum dns_code code;

		bytes[11] = rows[i].additional;
		memcpy(bytes + length, rows[i].record, rows[i].bytes);
		cr_assert_eq(read_exact(bytes, length + rows[i].bytes, &query, &code), DNS_READ);
		cr_assert_eq(query.size, rows[i].size, "%s: %u", rows[i].name, query.size);
	}
}

static void learn(struct dns_names *names, const char *text, uint32_t v4, uint8_t v6)
{
	struct prefix networks[2] = {{addr_from_v4(v4), 112}, {{{0xfd, [15] = v6}}, 64}};
	struct cert cert = {
		.name = text, .networks = networks, .network_count = (uint16_t)(v6 ? 2 : 1)};

	dns_names_learn(names, &cert);
}

Test(dns_responder, names)
{
	struct dns_names names = {0};
	const struct dns_name *name;
	char text[32];

	cr_assert_null(dns_names_find(&names, "a"), "before it was made");
	cr_assert_eq(dns_names_init(&names), 0);
	learn(&names, "Host.Example.", 0x0a000001, 7);
	name = dns_names_find(&names, "host.example");
	cr_assert(name && name->has_v4 && name->has_v6);
	cr_assert_eq(addr_v4(&name->v4), 0x0a000001);
	learn(&names, "HOST.example", 0x0a000002, 0);
	name = dns_names_find(&names, "host.example");
	cr_assert(name && name->has_v4 && !name->has_v6, "the newest counts");
	cr_assert_eq(names.table.count, 1);
	learn(&names, "", 1, 0);
	learn(&names, ".", 1, 0);
	cr_assert_eq(names.table.count, 1);

	/* as many as there may be; then the one learned longest ago goes */
	for (uint32_t i = 0; i < DNS_NAMES_MAX; i++) {
		snprintf(text, sizeof(text), "h%u", i);
		learn(&names, text, i, 0);
	}
	cr_assert_eq(names.table.count, DNS_NAMES_MAX);
	cr_assert_null(dns_names_find(&names, "host.example"));
	cr_assert_not_null(dns_names_find(&names, "h0"));
	learn(&names, "h0", 5, 0);
	learn(&names, "one more", 5, 0);
	cr_assert_not_null(dns_names_find(&names, "h0"), "it was learned again");
	cr_assert_null(dns_names_find(&names, "h1"));
	dns_names_release(&names);
}

/* A port that is taken, moving, and none. */
Test(dns_responder, reconfigure)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);
	int taken = socket(AF_INET, SOCK_DGRAM, 0), again = socket(AF_INET, SOCK_DGRAM, 0);
	struct dns_options options = {.serve = true, .host = addr_from_v4(INADDR_LOOPBACK)};
	char error[ERROR_LINE_MAX] = "";
	struct dns *dns = dns_create(NULL);

	cr_assert_not_null(dns);
	cr_assert_eq(bind(taken, (struct sockaddr *)&at, size), 0);
	getsockname(taken, (struct sockaddr *)&at, &size);
	options.port = ntohs(at.sin_port);
	cr_assert_neq(dns_reconfigure(dns, &options, error), 0);
	cr_assert(strstr(error, "lighthouse.dns"), "%s", error);
	close(taken);
	cr_assert_eq(dns_reconfigure(dns, &options, error), 0);
	cr_assert_neq(bind(again, (struct sockaddr *)&at, size), 0, "it is there");
	options.serve = false;
	cr_assert_eq(dns_reconfigure(dns, &options, error), 0);
	cr_assert_eq(bind(again, (struct sockaddr *)&at, size), 0, "it has gone");
	close(again);
	dns_destroy(dns);
}

static void not_asked(void *context, uint32_t id, const struct name_answer *answer)
{
}

/* Is udp port at this address of loopback taken? */
static bool is_taken(uint32_t v4, uint16_t port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	bool taken;

	at.sin_addr.s_addr = htonl(v4);
	taken = bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0;
	close(fd);
	return taken;
}

static uint16_t free_port(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t size = sizeof(at);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	cr_assert_eq(bind(fd, (struct sockaddr *)&at, size), 0);
	getsockname(fd, (struct sockaddr *)&at, &size);
	close(fd);
	return ntohs(at.sin_port);
}

/* Does a datagram to this address of loopback wake who polls dns_fd()? */
static bool hears(struct dns *dns, uint32_t v4, uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct pollfd wait = {.fd = dns_fd(dns), .events = POLLIN};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	bool heard;

	to.sin_addr.s_addr = htonl(v4);
	cr_assert_eq(sendto(fd, "?", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
	heard = poll(&wait, 1, 2000) == 1;
	close(fd);
	return heard;
}

/* Every address and one of them, at the same port. */
Test(dns_responder, every_address_and_one)
{
	struct dns_options any = {.serve = true, .any = true, .port = free_port()};
	struct dns_options one = any, name = any;
	struct sockaddr_in other = {.sin_family = AF_INET, .sin_port = htons(any.port)};
	struct addr found = addr_from_v4(0x7f000003);
	struct resolver *resolver = resolver_open(not_asked, NULL);
	struct dns *dns = dns_create(resolver);
	int taken = socket(AF_INET, SOCK_DGRAM, 0);
	char error[ERROR_LINE_MAX] = "";

	one.any = name.any = false;
	one.host = addr_from_v4(INADDR_LOOPBACK);
	strcpy(name.name, "localhost");
	cr_assert_eq(dns_reconfigure(dns, &any, error), 0, "%s", error);
	cr_assert(is_taken(0x7f000002, any.port));
	cr_assert_eq(dns_reconfigure(dns, &one, error), 0, "%s", error);
	cr_assert(is_taken(INADDR_LOOPBACK, any.port));
	cr_assert(!is_taken(0x7f000002, any.port));
	cr_assert_eq(dns_reconfigure(dns, &any, error), 0, "%s", error);
	cr_assert(is_taken(0x7f000002, any.port));

	/* the same by a name */
	cr_assert_eq(dns_reconfigure(dns, &name, error), 0, "%s", error);
	cr_assert_eq(dns_found(dns, NAME_FOUND, &found, 1, error), 0, "%s", error);
	cr_assert(is_taken(0x7f000003, any.port));
	cr_assert(!is_taken(0x7f000002, any.port));

	/* somebody else is in the way: what was goes on, and is heard */
	cr_assert_eq(dns_reconfigure(dns, &one, error), 0, "%s", error);
	other.sin_addr.s_addr = htonl(0x7f000002);
	cr_assert_eq(bind(taken, (struct sockaddr *)&other, sizeof(other)), 0);
	cr_assert_eq(dns_reconfigure(dns, &any, error), -EADDRINUSE);
	cr_assert(strstr(error, "no answers are given at"), "%s", error);
	cr_assert(hears(dns, INADDR_LOOPBACK, any.port));
	close(taken);
	cr_assert_eq(dns_reconfigure(dns, &any, error), 0, "%s", error);
	cr_assert(hears(dns, 0x7f000002, any.port));
	dns_destroy(dns);
	resolver_close(resolver);
}

/* The first IPv4 address that the name has; the place before is left then, and not earlier. */
Test(dns_responder, at_a_name)
{
	struct resolver *resolver = resolver_open(not_asked, NULL);
	struct dns *dns = dns_create(resolver), *deaf = dns_create(NULL);
	struct dns_options options = {.serve = true, .host = addr_from_v4(INADDR_LOOPBACK)};
	struct addr found[] = {{{[15] = 1}}, addr_from_v4(0x7f000002), addr_from_v4(0x7f000003)};
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int probe = socket(AF_INET, SOCK_DGRAM, 0);
	socklen_t size = sizeof(at);
	char error[ERROR_LINE_MAX] = "";

	cr_assert(resolver && dns && deaf);
	cr_assert_eq(bind(probe, (struct sockaddr *)&at, size), 0);
	getsockname(probe, (struct sockaddr *)&at, &size);
	close(probe);
	options.port = ntohs(at.sin_port);
	cr_assert_eq(dns_reconfigure(dns, &options, error), 0);
	strcpy(options.name, "localhost");
	cr_assert_eq(dns_reconfigure(deaf, &options, error), -ENOSYS);
	cr_assert(strstr(error, "localhost"), "%s", error);
	cr_assert_eq(dns_reconfigure(dns, &options, error), 0);
	cr_assert(is_taken(INADDR_LOOPBACK, options.port));

	/* no answer: the one before goes on; then nobody waits for an answer any more */
	cr_assert_neq(dns_found(dns, NAME_FAILED, NULL, 0, error), 0);
	cr_assert(strstr(error, "localhost"), "%s", error);
	cr_assert(is_taken(INADDR_LOOPBACK, options.port));
	cr_assert_eq(dns_found(dns, NAME_FOUND, found, 3, error), 0);
	cr_assert(!is_taken(0x7f000002, options.port));

	cr_assert_eq(dns_reconfigure(dns, &options, error), 0);
	cr_assert_eq(dns_found(dns, NAME_FOUND, found, 3, error), 0);
	cr_assert(is_taken(0x7f000002, options.port));
	cr_assert(!is_taken(INADDR_LOOPBACK, options.port));
	cr_assert_eq(dns_reconfigure(dns, &options, error), 0, "the same again");
	cr_assert_eq(dns_found(dns, NAME_FOUND, &found[2], 1, error), 0);
	cr_assert(is_taken(0x7f000002, options.port), "and no look-up");
	dns_destroy(dns);
	dns_destroy(deaf);
	resolver_close(resolver);
}

/* The names of hosts take all that they may have, and its own name is looked up all the same. */
Test(dns_responder, at_a_name_beside_many_names)
{
	struct resolver *resolver = resolver_open(not_asked, NULL);
	struct dns *dns = dns_create(resolver);
	struct dns_options options = {.serve = true, .name = "localhost", .port = 5353};
	char error[ERROR_LINE_MAX] = "";

	cr_assert(resolver && dns);
	for (uint32_t i = 0; i < LOOKUPS_MAX; i++)
		cr_assert_eq(resolver_begin(resolver, i, "localhost", NAME_IP, 1000000000), 0);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(dns_reconfigure(dns, &options, error), 0, "%s", error);
	cr_assert_eq(resolver_begin(resolver, LOOKUPS_MAX, "localhost", NAME_IP, 1000000000),
		     -ENOBUFS);
	dns_destroy(dns);
	resolver_close(resolver);
}
