/* dns_sim.c - what a lighthouse answers to DNS questions about the hosts it has met. */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns.h"
#include "identity/cert.h"
#include "peers/node_state.h"
#include "sim.h"

#define L (&sim->nodes[0])
#define A (&sim->nodes[1])

struct answer {
	uint8_t bytes[DNS_REPLY_MAX];
	size_t length;
	bool found;
};

static size_t question(uint8_t query[300], const char *name, uint8_t type, uint8_t class)
{
	size_t at = DNS_HEADER_BYTES;

	memcpy(query, (uint8_t[DNS_HEADER_BYTES]){0, 1, 1, 0, 0, 1}, DNS_HEADER_BYTES);
	for (size_t label; *name; name += label + (name[label] == '.')) {
		label = strcspn(name, ".");
		query[at++] = (uint8_t)label;
		memcpy(query + at, name, label);
		at += label;
	}
	query[at++] = 0;
	memcpy(query + at, (uint8_t[]){0, type, 0, class}, 4);
	return at + 4;
}

static unsigned asked(struct sim *sim, const struct addr *asker, const char *name, uint8_t type,
		      uint8_t class, struct answer *answer)
{
	uint8_t query[300];
	size_t length = question(query, name, type, class);

	answer->length = dns_answer(L->node, asker, query, length, answer->bytes, &answer->found);
	cr_assert_geq(answer->length, DNS_HEADER_BYTES);
	return answer->bytes[3] & 15;
}

static bool has(const struct answer *answer, const void *bytes, size_t length)
{
	return memmem(answer->bytes, answer->length, bytes, length) != NULL;
}

static void answers(struct sim *sim)
{
	struct addr stranger = addr_from_v4(0xc0000263), loopback = addr_from_v4(0x7f000001);
	struct answer answer;

	sim_add(sim);
	sim_add(sim);
	sim_client(A, L);
	sim_start_node(L);
	/* itself, from the start; all hosts have the same name here, so the last one learned counts
	 */
	cr_assert_eq(asked(sim, &stranger, "Sim Host", DNS_A, 1, &answer), DNS_NO_ERROR);
	cr_assert(has(&answer, L->addr.bytes + 12, 4));
	sim_start_node(A);
	sim_run(sim, SIM_S);
	cr_assert_eq(asked(sim, &stranger, "sim host", DNS_A, 1, &answer), DNS_NO_ERROR);
	cr_assert(answer.found && has(&answer, A->addr.bytes + 12, 4));
	cr_assert_eq(asked(sim, &stranger, "sim host", DNS_AAAA, 1, &answer), DNS_NO_ERROR);
	cr_assert_not(answer.found);
	cr_assert_eq(asked(sim, &stranger, "nobody", DNS_A, 1, &answer), DNS_NO_NAME);
	cr_assert_eq(asked(sim, &stranger, "", DNS_A, 1, &answer), DNS_NO_NAME);
	cr_assert_eq(asked(sim, &stranger, "sim host", DNS_A, 255, &answer), DNS_NO_ERROR);
	cr_assert(answer.found, "class ANY");
	cr_assert_eq(asked(sim, &stranger, "sim host", DNS_A, 3, &answer), DNS_REFUSED);
	cr_assert_not(answer.found);

	/* certificates are for this host alone (trap 86) */
	cr_assert_eq(asked(sim, &stranger, "10.42.0.2", DNS_TXT, 1, &answer), DNS_NO_NAME);
	cr_assert_eq(asked(sim, &A->addr, "10.42.0.2", DNS_TXT, 1, &answer), DNS_NO_NAME);
	cr_assert_eq(asked(sim, &loopback, "10.42.0.2", DNS_TXT, 1, &answer), DNS_NO_ERROR);
	cr_assert(has(&answer, "Name: sim host", 14));
	cr_assert(has(&answer, "Ips: [10.42.0.2/16]", 19));
	cr_assert_eq(asked(sim, &L->addr, "10.42.0.2", DNS_TXT, 1, &answer), DNS_NO_ERROR);
	cr_assert_eq(asked(sim, &loopback, "10.42.0.77", DNS_TXT, 1, &answer), DNS_NO_NAME);
	cr_assert_eq(asked(sim, &loopback, "10.42.0.2", DNS_A, 1, &answer), DNS_NO_NAME);
	cr_assert_eq(asked(sim, &loopback, "sim host", DNS_TXT, 1, &answer), DNS_NO_ERROR);
	cr_assert_not(answer.found);

	/* the name outlives the tunnel, the certificate does not */
	sim_kill_node(A);
	sim_run(sim, 60 * SIM_S);
	cr_assert_eq(asked(sim, &stranger, "sim host", DNS_A, 1, &answer), DNS_NO_ERROR);
	cr_assert(answer.found);
}

Test(sim_dns, answers)
{
	sim_seeds(2, answers);
}

/* The character-string that begins at rest, as a text; rest goes on to the next. */
static const char *next_text(const uint8_t **rest, char text[256])
{
	memcpy(text, *rest + 1, **rest);
	text[**rest] = '\0';
	*rest += 1 + **rest;
	return text;
}

static const char *hex_of(const char *head, const uint8_t bytes[32], char text[256])
{
	size_t at = strlen(head);

	memcpy(text, head, at);
	for (int i = 0; i < 32; i++)
		at += (size_t)sprintf(text + at, "%02x", bytes[i]);
	return text;
}

/* All strings of a certificate, in the order of release 1.6.1. */
static void certificate(struct sim *sim)
{
	struct addr loopback = {{[15] = 1}};
	struct answer answer;
	const struct cert *cert;
	const uint8_t *rest;
	char text[256], wanted[256];

	sim_add(sim);
	sim_add(sim);
	sim_client(A, L);
	sim_start_node(L);
	sim_start_node(A);
	sim_run(sim, SIM_S);
	cert = A->pki.v1.cert;
	cr_assert_eq(asked(sim, &loopback, "10.42.0.2", DNS_TXT, 1, &answer), DNS_NO_ERROR);
	rest = answer.bytes + DNS_HEADER_BYTES + strlen("-10-42-0-2-") + 4 + 12;
	cr_assert_str_eq(next_text(&rest, text), "Name: sim host");
	cr_assert_str_eq(next_text(&rest, text), "Ips: [10.42.0.2/16]");
	cr_assert_str_eq(next_text(&rest, text), "Subnets []");
	cr_assert_str_eq(next_text(&rest, text), "Groups []");
	cr_assert_str_eq(next_text(&rest, text), "NotBefore 2024-03-09 16:00:00 +0000 UTC");
	cr_assert_str_eq(next_text(&rest, text), "NotAFter 2042-11-19 08:53:20 +0000 UTC");
	cr_assert_str_eq(next_text(&rest, text), hex_of("PublicKey ", cert->public_key, wanted));
	cr_assert_str_eq(next_text(&rest, text), "IsCA false");
	cr_assert_str_eq(next_text(&rest, text), hex_of("Issuer ", cert->issuer, wanted));
	cr_assert_eq(rest, answer.bytes + answer.length);
}

Test(sim_dns, certificate)
{
	sim_seeds(1, certificate);
}

/* A name has an address of each family, or of one. */
static void families(struct sim *sim)
{
	struct prefix networks[] = {{{{0xfd, [15] = 7}}, 64}, {addr_from_v4(0x0a2a0007), 112}};
	struct cert cert = {.name = "both", .networks = networks, .network_count = 2};
	struct addr stranger = addr_from_v4(0xc0000263);
	struct answer answer;

	sim_add(sim)->options.lighthouse.am_lighthouse = true;
	sim_start_node(L);
	dns_names_learn(&L->node->dns_names, &cert);
	for (int v4 = 0; v4 < 2; v4++) {
		asked(sim, &stranger, "both", DNS_A, 1, &answer);
		cr_assert_eq(answer.found, cert.network_count == 2);
		asked(sim, &stranger, "both", DNS_AAAA, 1, &answer);
		cr_assert(answer.found && has(&answer, networks[0].addr.bytes, 16));
		asked(sim, &stranger, "both", DNS_TXT, 1, &answer);
		cr_assert(!answer.found && answer.length == DNS_HEADER_BYTES + 6 + 4);
		cert.network_count = 1;
		dns_names_learn(&L->node->dns_names, &cert);
	}
}

Test(sim_dns, families)
{
	sim_seeds(1, families);
}

/* A socket of a client that hears only who answers from this address of loopback, and its port. */
static int client_of(uint32_t v4, uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	to.sin_addr.s_addr = htonl(v4);
	cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* A responder of L's at every address, and the port that it has. */
static struct dns *responder(uint16_t *port)
{
	struct dns *dns = dns_create(NULL);
	struct dns_options options = {.serve = true, .any = true};
	struct sockaddr_in at = {.sin_family = AF_INET};
	int probe = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char error[ERROR_LINE_MAX] = "";
	socklen_t size = sizeof(at);

	cr_assert_eq(bind(probe, (struct sockaddr *)&at, size), 0);
	getsockname(probe, (struct sockaddr *)&at, &size);
	close(probe);
	*port = options.port = ntohs(at.sin_port);
	cr_assert_eq(dns_reconfigure(dns, &options, error), 0, "%s", error);
	return dns;
}

/* Sends the bytes so often, has them answered in turns, and says how many answers came. */
static uint32_t asked_at(struct sim *sim, struct dns *dns, int client, const uint8_t *bytes,
			 size_t length, uint32_t times, uint32_t turns)
{
	uint8_t reply[DNS_REPLY_MAX];
	uint32_t answers = 0;

	for (uint32_t i = 0; i < times; i++)
		cr_assert_eq(send(client, bytes, length, 0), (ssize_t)length);
	while (turns-- > 0)
		dns_turn(dns, L->node, &L->outside);
	while (recv(client, reply, sizeof(reply), 0) >= DNS_HEADER_BYTES) {
		cr_assert(reply[1] == bytes[1] && reply[2] & 0x80);
		answers++;
	}
	return answers;
}

/* Over a socket: answers come from the address that was asked, so many in a turn, at a rate. */
static void over_a_socket(struct sim *sim)
{
	uint8_t query[300];
	size_t length = question(query, "sim host", DNS_A, 1), unknown;
	struct dns *dns;
	uint16_t port;
	int client;

	sim_add(sim)->options.lighthouse.am_lighthouse = true;
	sim_start_node(L);
	dns = responder(&port);
	client = client_of(0x7f000002, port);
	cr_assert_eq(asked_at(sim, dns, client, query, length, 1, 1), 1);
	cr_assert_eq(asked_at(sim, dns, client, query, length, DNS_TURN_MAX + 1, 1), DNS_TURN_MAX);
	cr_assert_eq(asked_at(sim, dns, client, query, length, 0, 1), 1);
	cr_assert_eq(L->stats[STAT_DNS_ANSWERS], DNS_TURN_MAX + 2);
	unknown = question(query, "nobody", DNS_A, 1);
	cr_assert_eq(asked_at(sim, dns, client, query, unknown, 1, 1), 1);
	cr_assert_eq(L->stats[STAT_DNS_ANSWERS], DNS_TURN_MAX + 2);
	cr_assert_eq(L->stats[STAT_DNS_QUERIES], DNS_TURN_MAX + 3);
	cr_assert_eq(asked_at(sim, dns, client, query, 5, 1, 1), 0);
	cr_assert_eq(L->drops[DROP_DNS_INVALID], 1);

	for (int i = 0; i < DNS_QUERIES_BURST / 50; i++)
		asked_at(sim, dns, client, query, unknown, 50, 1);
	cr_assert_eq(L->stats[STAT_DNS_QUERIES], DNS_QUERIES_BURST);
	cr_assert_eq(L->drops[DROP_DNS_LIMITED], DNS_TURN_MAX + 4);
	sim_run(sim, SIM_S / 10);
	cr_assert_eq(asked_at(sim, dns, client, query, unknown, 50, 1), 50);
	close(client);
	dns_destroy(dns);
}

Test(sim_dns, over_a_socket)
{
	sim_seeds(1, over_a_socket);
}
