/*
 * admin_fuzz.c - libFuzzer target: a request on the control socket (make fuzz T=admin), answered by
 * the table of commands on a node without tunnels. Every answer is an object that says ok or not.
 */
#include <sodium.h>

#include "admin_commands.h"
#include "fuzz.h"
#include "vectors/cert_v1.h"

#define NOW 1800000000ull

static uint64_t now_ns(void *context)
{
	return 5000000000;
}

static uint64_t wall_ns(void *context)
{
	return NOW * 1000000000;
}

static void give_random(void *context, void *bytes, size_t length)
{
	memset(bytes, 0x57, length);
}

static void send_udp(void *context, const struct endpoint *to, const uint8_t *bytes, size_t length)
{
}

static void no_log(void *context, enum outside_level level, const char *message,
		   const struct outside_field *fields, size_t count)
{
}

static void no_drop(void *context, enum drop reason, uint64_t packets)
{
}

static struct admin_world world;
static struct control control;
static struct config config;
static struct pki pki;

/* A fresh node for each request: none may fill the tables of the next. */
static void make_world(void)
{
	struct node_options options = {
		.queues = 1, .workers = 1, .try_interval_ns = 1000000, .retries = 1};
	char error[PKI_ERROR_MAX];
	bool locked;

	if (!pki.ca) {
		fuzz_check(sodium_init() >= 0 && pki_init(&pki) == 0);
		fuzz_check(pki_load_ca(&pki, VECTOR_CA_PEM, NOW, error) == 0);
		fuzz_check(pki_load_cert(&pki, VECTOR_HOST1_PEM, NOW, error) == 0);
		fuzz_check(pki_load_key(&pki, VECTOR_HOST1_KEY_PEM, error) == 0);
		control.outside = (struct outside){.now_ns = now_ns,
						   .wall_ns = wall_ns,
						   .random = give_random,
						   .send_udp = send_udp,
						   .count_drop = no_drop,
						   .log = no_log};
		control.queues = 1;
		control.map = hostmap_create(&locked);
		world = (struct admin_world){.control = &control,
					     .config = &config,
					     .pki = &pki,
					     .device = "nebula1",
					     .offloads = ""};
	}
	control.node = node_create(&options, &pki, control.map, &control.outside);
	fuzz_check(control.map && control.node);
}

/* Those that ask the packet path, which is not here. */
static bool needs_dataplane(const char *line, size_t size)
{
	static const char *const names[] = {"drops",       "counters", "queues", "status",
					    "device-info", "reload",   "why",    "list-refused"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (memmem(line, size, names[i], strlen(names[i])))
			return true;
	return memmem(line, size, "\\u", 2) != NULL; /* may spell one of them */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *exact = fuzz_exact(data, size);
	json_t *answer;

	if (size > ADMIN_REQUEST_MAX || needs_dataplane(exact, size))
		goto out;
	make_world();
	answer = admin_answer(&world, exact, size);
	fuzz_check(json_is_object(answer) && json_is_boolean(json_object_get(answer, "ok")));
	json_decref(answer);
	node_destroy(control.node);
	hostmap_garbage_release(control.map, hostmap_garbage_take(control.map));
out:
	free(exact);
	return 0;
}
