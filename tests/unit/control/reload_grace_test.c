/*
 * reload_grace_test.c - rules that change under a worker: what it still reads is not written to by
 * the reload after next, and a version that comes round again finds no flow.
 *
 * Calls of reload.c to the dataplane and the node pass through here (Makefile: --wrap).
 */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "rcu.h"
#include "reload_world.h"

TestSuite(reload_grace, .timeout = 60);

#define ONE "firewall: {inbound: [{port: 1, proto: tcp, host: any}]}\n"
#define TWO "firewall: {inbound: [{port: 2, proto: tcp, host: any}]}\n"

static struct seen {
	unsigned forgotten;           /* dataplane_forget_flows() */
	unsigned forgotten_after;     /* of these, when the snapshot of version 0 was out already */
	void (*before_publish)(void); /* called once */
	_Atomic uint32_t last_prepared; /* version */
} seen;

void __real_dataplane_forget_flows(struct dataplane *d);
struct snapshot *__real_dataplane_publish(struct dataplane *d, struct snapshot *snapshot);
int __real_node_rules_prepare(struct node *node, const struct node_options *next,
			      const struct pki *pki, uint16_t version);

void __wrap_dataplane_forget_flows(struct dataplane *d)
{
	seen.forgotten++;
	seen.forgotten_after += dataplane_snapshot(d)->rules_version == 0;
	__real_dataplane_forget_flows(d);
}

struct snapshot *__wrap_dataplane_publish(struct dataplane *d, struct snapshot *snapshot)
{
	void (*hook)(void) = seen.before_publish;

	seen.before_publish = NULL;
	if (hook)
		hook();
	return __real_dataplane_publish(d, snapshot);
}

int __wrap_node_rules_prepare(struct node *node, const struct node_options *next,
			      const struct pki *pki, uint16_t version)
{
	atomic_store(&seen.last_prepared, version);
	return __real_node_rules_prepare(node, next, pki, version);
}

/* --- versions ----------------------------------------------------------------------------------
 */

/* A flow that was judged 65536 changes ago would pass for judged (PROTOCOL.md 5.5). */
Test(reload_grace, a_version_that_comes_round_finds_no_flow)
{
	world_make();
	reload_with(ONE);
	cr_assert_eq(SNAPSHOT->rules_version, 2);
	world.reload.now->rules_version = 65534;
	((struct snapshot *)SNAPSHOT)->rules_version = 65534;
	reload_with(TWO);
	cr_expect_eq(SNAPSHOT->rules_version, 65535);
	cr_expect_eq(seen.forgotten, 0);
	reload_with(TWO);
	cr_expect_eq(SNAPSHOT->rules_version, 65535, "the same rules");
	reload_with(ONE);
	cr_expect_eq(SNAPSHOT->rules_version, 0);
	cr_expect_eq(world.admin.rules_version, 0);
	cr_expect_eq(seen.forgotten, 1);
	cr_expect_eq(seen.forgotten_after, 0, "a worker could enter one of the first version 0");
	reload_with(ONE);
	reload_with(TWO);
	cr_expect_eq(SNAPSHOT->rules_version, 1);
	cr_expect_eq(seen.forgotten, 1);
	world_end();
}

/* Both write "a b" into the line that is hashed; only one asks for two groups. */
Test(reload_grace, a_group_with_a_blank_is_not_two_groups)
{
	world_make();
	reload_with("firewall: {inbound: [{port: any, proto: any, groups: [a, b]}]}\n");
	uint16_t version = SNAPSHOT->rules_version;
	reload_with("firewall: {inbound: [{port: any, proto: any, group: a b}]}\n");
	cr_expect_eq(SNAPSHOT->rules_version, version + 1);
	reload_with("firewall: {inbound: [{port: any, proto: any, group: a b}]}\n");
	cr_expect_eq(SNAPSHOT->rules_version, version + 1, "the same rules");
	world_end();
}

/* A tunnel whose CA is trusted no more may live on (pki.disconnect_invalid), but has no ca_name. */
Test(reload_grace, a_ca_that_comes_or_goes_is_new_to_rules_that_name_one)
{
#define CA_ONE   "pki: {ca: @/ca.crt, cert: @/host.crt, key: @/host.key}\n"
#define CA_TWO   "pki: {ca: @/two.crt, cert: @/host.crt, key: @/host.key}\n"
#define CA_NAMED "firewall: {inbound: [{port: 1, proto: tcp, ca_name: another}]}\n"
	world_make();
	reload_with(CA_TWO CA_NAMED);
	uint16_t version = SNAPSHOT->rules_version;
	reload_with(CA_TWO CA_NAMED);
	cr_expect_eq(SNAPSHOT->rules_version, version, "the same CAs");
	reload_with(CA_ONE CA_NAMED);
	cr_expect_eq(SNAPSHOT->rules_version, version + 1, "one has gone");
	cr_expect_eq(atomic_load(&seen.last_prepared), version + 1u);
	reload_with(CA_TWO CA_NAMED);
	cr_expect_eq(SNAPSHOT->rules_version, version + 2, "it has come back");
	reload_with(CA_TWO ONE);
	cr_expect_eq(SNAPSHOT->rules_version, version + 3);
	reload_with(CA_ONE ONE);
	cr_expect_eq(SNAPSHOT->rules_version, version + 3, "no rule looks at them");
	world_end();
}

/* --- grace periods -----------------------------------------------------------------------------
 */

enum step { BEGIN, READ, TOO_EARLY, IN_TIME };

/* A worker in the middle of a turn. */
static struct turn {
	_Atomic uint32_t step;
	_Atomic bool go, second;
	uint16_t version; /* of the rules that it reads */
} turn;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void await(const _Atomic bool *flag)
{
	while (!atomic_load(flag))
		usleep(100);
}

/*
 * It reads the rules that the first reload is about to replace, and the second reload comes before
 * it has let go of them. Without a wait that one takes some milliseconds to write to their place.
 */
static void *worker(void *unused)
{
	bool early = false;

	urcu_qsbr_register_thread();
	rcu_worker_offline();
	await(&turn.go);
	rcu_worker_online();
	turn.version = SNAPSHOT->rules_version;
	atomic_store(&turn.step, READ);
	await(&turn.second);
	for (uint64_t end = now_ns() + 200000000u; now_ns() < end && !early;)
		early = atomic_load(&seen.last_prepared) == turn.version + 2u;
	atomic_store(&turn.step, early ? TOO_EARLY : IN_TIME);
	rcu_worker_offline();
	urcu_qsbr_unregister_thread();
	return NULL;
}

/* The turn begins when the first reload waits for nobody any more, and has not published yet. */
static void turn_begins(void)
{
	atomic_store(&turn.go, true);
	while (atomic_load(&turn.step) != READ)
		usleep(100);
}

Test(reload_grace, a_second_reload_waits_for_who_reads_what_the_first_replaced)
{
	pthread_t thread;

	world_make();
	cr_assert_eq(pthread_create(&thread, NULL, worker, NULL), 0);
	seen.before_publish = turn_begins;
	reload_with(ONE);
	cr_assert_eq(turn.version, 1);
	cr_assert_eq(SNAPSHOT->rules_version, 2);
	atomic_store(&turn.second, true);
	reload_with(TWO);
	pthread_join(thread, NULL);
	cr_expect_eq(SNAPSHOT->rules_version, 3);
	cr_expect_eq(atomic_load(&seen.last_prepared), 3);
	cr_expect_eq(atomic_load(&turn.step), IN_TIME, "bits of version 3 where version 1 is read");
	world_end();
}
