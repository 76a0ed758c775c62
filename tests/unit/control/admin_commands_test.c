/*
 * admin_commands_test.c - the table of commands, its arguments, and those that need no packet path:
 * on a node with a recording outside. The others are asked in tests/netns/ctl.bats.
 */
#include "admin_commands.h"

#include <stdlib.h>

#include "cert_helpers.h"

TestSuite(admin_commands);

struct bench {
	struct control control; /* first: the commands hand it to the outside as its context */
	struct config config;
	struct pki pki;
	struct admin_world world;
	uint64_t now_ns;
	unsigned datagrams;
	struct endpoint last;
};

static uint64_t now_ns(void *context)
{
	return ((struct bench *)context)->now_ns;
}

static uint64_t wall_ns(void *context)
{
	return (uint64_t)VECTOR_NOW * 1000000000;
}

static void give_random(void *context, void *bytes, size_t length)
{
	randombytes_buf(bytes, length);
}

static void send_udp(void *context, const struct endpoint *to, const uint8_t *bytes, size_t length)
{
	struct bench *bench = (struct bench *)context;

	bench->datagrams++;
	bench->last = *to;
}

static void no_log(void *context, enum outside_level level, const char *message,
		   const struct outside_field *fields, size_t count)
{
}

static void count_a_drop(void *context, enum drop reason, uint64_t packets)
{
}

static struct bench *bench_make(const struct node_static_host *hosts, size_t count)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	char error[PKI_ERROR_MAX];
	bool locked;

	cr_assert(bench);
	bench->now_ns = 5000000000;
	cr_assert_eq(pki_init(&bench->pki), 0);
	cr_assert_eq(pki_load_ca(&bench->pki, VECTOR_CA_PEM, VECTOR_NOW, error), 0);
	cr_assert_eq(pki_load_cert(&bench->pki, VECTOR_HOST1_PEM, VECTOR_NOW, error), 0);
	cr_assert_eq(pki_load_key(&bench->pki, VECTOR_HOST1_KEY_PEM, error), 0);
	aead_select();
	bench->control.outside = (struct outside){.context = bench,
						  .now_ns = now_ns,
						  .wall_ns = wall_ns,
						  .random = give_random,
						  .send_udp = send_udp,
						  .count_drop = count_a_drop,
						  .log = no_log};
	bench->control.queues = 1;
	bench->control.map = hostmap_create(&locked);
	struct node_options options = {
		.queues = 1,
		.workers = 1,
		.try_interval_ns = 100000000,
		.retries = 10,
		.static_hosts = hosts,
		.static_host_count = count,
	};
	bench->control.node =
		node_create(&options, &bench->pki, bench->control.map, &bench->control.outside);
	cr_assert(bench->control.node);
	bench->world = (struct admin_world){.control = &bench->control,
					    .config = &bench->config,
					    .pki = &bench->pki,
					    .device = "nebula1",
					    .offloads = "",
					    .started_ns = 2000000000};
	return bench;
}

static void bench_free(struct bench *bench)
{
	node_destroy(bench->control.node);
	for (struct garbage *batch; (batch = hostmap_garbage_take(bench->control.map));)
		hostmap_garbage_release(bench->control.map, batch);
	hostmap_destroy(bench->control.map);
	pki_free(&bench->pki);
	free(bench);
}

/* The caller frees it. */
static char *ask(struct bench *bench, const char *line)
{
	json_t *answer = admin_answer(&bench->world, line, strlen(line));
	char *text;

	cr_assert(answer, "%s", line);
	text = json_dumps(answer, JSON_COMPACT);
	json_decref(answer);
	return text;
}

static void says(struct bench *bench, const char *line, const char *wanted)
{
	char *text = ask(bench, line);

	cr_expect(strstr(text, wanted), "%s: %s, not %s", line, text, wanted);
	free(text);
}

Test(admin_commands, reload)
{
	struct bench *bench = bench_make(NULL, 0);
	struct reload reload = {.control = &bench->control, .path = "/nowhere/config.yml"};

	says(bench, "{\"command\": \"status\"}", "\"reload\":null");
	says(bench, "{\"command\": \"reload\"}", "\"error\":\"the node is starting or ending\"");
	bench->world.reload = &reload;
	says(bench, "{\"command\": \"reload\"}", "\"error\":\"the node is starting or ending\"");
	bench->control.state = CONTROL_RUNNING;
	says(bench, "{\"command\": \"reload\"}",
	     "nothing has changed; 1 error\\n/nowhere/config.yml: ");
	bench->now_ns += 3000000000;
	says(bench, "{\"command\": \"status\"}", "\"result\":\"refused\",\"agoSeconds\":3.0");
	reload_release(&reload);
	bench_free(bench);
}

Test(admin_commands, the_table_is_sorted_and_complete)
{
	for (size_t i = 0; i < admin_commands_count; i++) {
		const struct admin_command *command = &admin_commands[i];

		cr_assert(command->run && command->description[0], "%s", command->name);
		cr_assert_leq(command->least, command->most);
		cr_assert_leq(command->most, ADMIN_POSITIONALS_MAX);
		if (i > 0)
			cr_assert_lt(strcmp(admin_commands[i - 1].name, command->name), 0, "%s",
				     command->name);
	}
}

Test(admin_commands, what_is_no_request)
{
	struct bench *bench = bench_make(NULL, 0);
	static const char *const lines[] = {
		"",
		"x",
		"[]",
		"\"status\"",
		"{}",
		"{\"command\":1}",
		"{\"command\":\"status\",\"arguments\":1}",
		"{\"command\":\"status\",\"arguments\":[1]}",
		"{\"command\":\"status\",\"arguments\":[\"a\"]}",
		"{\"command\":\"status\",\"arguments\":[\"-after\",\"10.0.0.1\"]}",
		"{\"command\":\"status\",\"command\":\"version\"}",
		"{\"command\":\"nonsense\"}",
		"{\"command\":\"print-tunnel\"}",
		"{\"command\":\"print-tunnel\",\"arguments\":[\"x\"]}",
		"{\"command\":\"print-tunnel\",\"arguments\":[\"10.42.0.2\",\"10.42.0.3\"]}",
		"{\"command\":\"print-tunnel\",\"arguments\":[\"10.42.0.2\"]}",
		"{\"command\":\"close-tunnel\",\"arguments\":[\"-local-only=x\",\"10.42.0.2\"]}",
		"{\"command\":\"change-remote\",\"arguments\":[\"10.42.0.2\"]}",
		"{\"command\":\"change-remote\",\"arguments\":[\"10.42.0.2\",\"-address\"]}",
		"{\"command\":\"create-tunnel\",\"arguments\":[\"-address\",\"1.2.3.4\",\"10.42.0."
		"2\"]}",
		"{\"command\":\"create-tunnel\",\"arguments\":[\"10.42.0.1\"]}",
		"{\"command\":\"create-tunnel\",\"arguments\":[\"-address\",\"10.42.0.3:4242\","
		"\"10.42.0.2\"]}",
		"{\"command\":\"log-level\",\"arguments\":[\"loud\"]}",
		"{\"command\":\"help\",\"arguments\":[\"nonsense\"]}",
		"{\"command\":\"list-hostmap\",\"arguments\":[\"-after\",\"x\"]}",
		"{\"command\":\"why\",\"arguments\":[\"x\"]}",
		"{\"command\":\"why\",\"arguments\":[\"10.42.0.2\",\"tcp\"]}",
		"{\"command\":\"why\",\"arguments\":[\"10.42.0.2\",\"tcp\",\"0\"]}",
		"{\"command\":\"why\",\"arguments\":[\"10.42.0.2\",\"tcp\",\"65536\"]}",
		"{\"command\":\"why\",\"arguments\":[\"10.42.0.2\",\"sctp\",\"1\"]}",
		"{\"command\":\"version\",\"arguments\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\","
		"\"8\","
		"\"9\",\"10\",\"11\",\"12\",\"13\"]}",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		says(bench, lines[i], "{\"ok\":false,\"error\":\"");
	bench_free(bench);
}

Test(admin_commands, every_cut_and_every_changed_byte_is_answered)
{
	struct bench *bench = bench_make(NULL, 0);
	const char *line = "{\"command\":\"create-tunnel\",\"arguments\":[\"-address\","
			   "\"192.0.2.2:4242\",\"10.42.0.2\"]}";
	char changed[256];

	for (size_t length = 0; length < strlen(line); length++) {
		json_t *answer = admin_answer(&bench->world, line, length);

		cr_assert(json_is_false(json_object_get(answer, "ok")));
		json_decref(answer);
	}
	for (size_t i = 0; i < strlen(line); i++) {
		for (int byte = 0; byte < 256; byte += 5) {
			strcpy(changed, line);
			changed[i] = (char)byte;
			json_t *answer = admin_answer(&bench->world, changed, strlen(line));

			cr_assert(json_is_boolean(json_object_get(answer, "ok")));
			json_decref(answer);
		}
	}
	bench_free(bench);
}

Test(admin_commands, a_tunnel_is_begun_once)
{
	struct bench *bench = bench_make(NULL, 0);
	const char *create = "{\"command\":\"create-tunnel\",\"arguments\":[\"10.42.0.2\","
			     "\"-address=192.0.2.2:4242\"]}";

	says(bench, create, "\"Created\"");
	node_tick(bench->control.node);
	cr_assert_eq(bench->datagrams, 1);
	cr_assert_eq(bench->last.port, 4242);
	says(bench, create, "\"Tunnel already handshaking\"");
	says(bench, "{\"command\":\"list-pending-hostmap\"}",
	     "\"vpnAddrs\":[\"10.42.0.2\"],\"remoteAddrs\":[\"192.0.2.2:4242\"],\"attempts\":1");
	says(bench, "{\"command\":\"list-hostmap\"}", "\"rows\":[],\"more\":false");
	says(bench, "{\"command\":\"close-tunnel\",\"arguments\":[\"10.42.0.2\"]}",
	     "Could not find tunnel for vpn addr: 10.42.0.2");
	bench_free(bench);
}

Test(admin_commands, status_and_certificates)
{
	struct bench *bench = bench_make(NULL, 0);
	char file[] = "config.yml", text[] = "a warning";
	struct finding finding = {SEVERITY_WARNING, 7, file, text};
	struct findings findings = {1, 0, 1, &finding};

	bench->world.findings = &findings;
	says(bench, "{\"command\":\"status\"}", "\"uptimeSeconds\":3.0");
	says(bench, "{\"command\":\"status\"}", "\"interface\":\"nebula1\"");
	says(bench, "{\"command\":\"status\"}", "\"networks\":[\"10.42.0.1/16\"]");
	says(bench, "{\"command\":\"status\"}", "\"warnings\":[\"config.yml:7: a warning\"]");
	says(bench, "{\"command\":\"print-cert\"}", "\"ips\":[\"10.42.0.1/16\"]");
	says(bench, "{\"command\":\"print-cert\",\"arguments\":[\"-raw\"]}",
	     "-----BEGIN NEBULA CERTIFICATE-----\\n");
	says(bench, "{\"command\":\"version\"}", "\"result\":\"" M57_VERSION "\"");
	says(bench, "{\"command\":\"help\",\"arguments\":[\"why\"]}", "\"name\":\"why\"");
	bench_free(bench);
}

Test(admin_commands, the_level_of_the_log)
{
	struct bench *bench = bench_make(NULL, 0);
	enum log_level before = log_level_now();

	says(bench, "{\"command\":\"log-level\",\"arguments\":[\"debug\"]}", "Log level is: debug");
	cr_assert_eq(log_level_now(), LOG_LEVEL_DEBUG);
	says(bench, "{\"command\":\"log-level\"}", "Log level is: debug");
	log_level_set(before);
	bench_free(bench);
}

/* Days by hand: what a peer writes into a certificate may be anything. */
Test(admin_commands, days_left)
{
	static const struct {
		int64_t not_after, now, days;
	} rows[] = {
		{86400, 0, 1},
		{86399, 0, 0},
		{0, 0, 0},
		{0, 1, -1},
		{0, 86400, -1},
		{0, 86401, -2},
		{INT64_MAX, 0, INT64_MAX / 86400},
		{INT64_MAX, -2, INT64_MAX},
		{INT64_MIN, 2, INT64_MIN},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cert cert = {.not_after = rows[i].not_after};

		cr_assert_eq(admin_days_left(&cert, rows[i].now), rows[i].days, "row %zu", i);
	}
}

/* Hosts beyond one answer's rows are asked for behind the last one: all of them, none twice. */
Test(admin_commands, lists_come_in_parts)
{
	enum { HOSTS = PENDING_MAX };
	struct bench *bench = bench_make(NULL, 0);
	char line[160], last[64] = "";
	unsigned seen = 0, parts = 0;
	json_t *answer, *result;
	bool more = true;

	for (unsigned i = 0; i < HOSTS; i++) {
		struct addr addr = addr_from_v4(0x0a2a1000 + i);

		cr_assert_eq(node_order_tunnel(bench->control.node, &addr, NULL), 0);
	}
	for (; more && parts < 10; parts++) {
		snprintf(
			line, sizeof(line),
			last[0] ? "{\"command\":\"list-pending-hostmap\",\"arguments\":[\"-after\","
				  "\"%s\"]}"
				: "{\"command\":\"list-pending-hostmap\"}",
			last);
		answer = admin_answer(&bench->world, line, strlen(line));
		result = json_object_get(answer, "result");
		cr_assert(result);
		cr_assert_leq(json_array_size(json_object_get(result, "rows")), ADMIN_ROWS_MAX);
		seen += (unsigned)json_array_size(json_object_get(result, "rows"));
		more = json_is_true(json_object_get(result, "more"));
		snprintf(last, sizeof(last), "%s",
			 json_string_value(json_object_get(result, "last")));
		json_decref(answer);
	}
	cr_assert_eq(seen, HOSTS, "%u", seen);
	cr_assert_geq(parts, HOSTS / ADMIN_ROWS_MAX);
	bench_free(bench);
}

/* The failure outlives the host, and the newest counts. */
Test(admin_commands, why_a_handshake_failed_is_kept)
{
	struct bench *bench = bench_make(NULL, 0);
	struct addr addr = addr_from_v4(0x0a2a0002), other = addr_from_v4(0x0a2a0003);
	struct endpoint remote = {addr_from_v4(0xc0000202), 4242};
	const struct node_failure *failure;
	struct node_host_view view;
	uint64_t began;

	for (int round = 0; round < 2; round++) {
		began = bench->now_ns;
		cr_assert_eq(node_order_tunnel(bench->control.node, &addr, round ? &remote : NULL),
			     0);
		while (node_next_deadline(bench->control.node) != UINT64_MAX &&
		       bench->now_ns < began + 60000000000) {
			bench->now_ns = node_next_deadline(bench->control.node);
			node_tick(bench->control.node);
		}
		cr_assert_not(node_query_host(bench->control.node, &addr, &view));
		failure = node_query_failure(bench->control.node, &addr);
		cr_assert(failure);
		cr_assert_str_eq(failure->text, round ? "no answer from any known address"
						      : "no underlay address of the host is known");
		cr_assert_gt(failure->at_ns, began);
	}
	cr_assert_null(node_query_failure(bench->control.node, &other));
	bench_free(bench);
}
