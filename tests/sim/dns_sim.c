/* dns_sim.c - what a lighthouse answers to DNS questions about the hosts it has met. */
#include "dns.h"
#include "sim.h"

#define L (&sim->nodes[0])
#define A (&sim->nodes[1])

struct answer {
	uint8_t bytes[DNS_REPLY_MAX];
	size_t length;
	bool found;
};

static unsigned asked(struct sim *sim, const struct addr *asker, const char *name, uint8_t type,
		      uint8_t class, struct answer *answer)
{
	uint8_t query[300] = {0, 1, 1, 0, 0, 1};
	size_t at = DNS_HEADER_BYTES;

	for (size_t label; *name; name += label + (name[label] == '.')) {
		label = strcspn(name, ".");
		query[at++] = (uint8_t)label;
		memcpy(query + at, name, label);
		at += label;
	}
	query[at++] = 0;
	memcpy(query + at, (uint8_t[]){0, type, 0, class}, 4);
	answer->length = dns_answer(L->node, asker, query, at + 4, answer->bytes, &answer->found);
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
	cr_assert_eq(asked(sim, &stranger, "sim host", DNS_A, 3, &answer), DNS_REFUSED);

	/* certificates are for this host alone (trap 86) */
	cr_assert_eq(asked(sim, &stranger, "10.42.0.2", DNS_TXT, 1, &answer), DNS_NO_NAME);
	cr_assert_eq(asked(sim, &A->addr, "10.42.0.2", DNS_TXT, 1, &answer), DNS_NO_NAME);
	cr_assert_eq(asked(sim, &loopback, "10.42.0.2", DNS_TXT, 1, &answer), DNS_NO_ERROR);
	cr_assert(has(&answer, "Name: sim host", 14));
	cr_assert(has(&answer, "Ips: [10.42.0.2/16]", 19));
	cr_assert_eq(asked(sim, &L->addr, "10.42.0.2", DNS_TXT, 1, &answer), DNS_NO_ERROR);
	cr_assert_eq(asked(sim, &loopback, "10.42.0.77", DNS_TXT, 1, &answer), DNS_NO_NAME);
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
