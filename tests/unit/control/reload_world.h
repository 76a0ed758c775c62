/*
 * reload_world.h - a node without tun or threads, as far as a reload goes: its files, and all that
 * a real reload works on. One per program and test.
 */
#ifndef M57_TEST_RELOAD_WORLD_H
#define M57_TEST_RELOAD_WORLD_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin_commands.h"
#include "cert_helpers.h"
#include "config/snapshot_build.h"
#include "control.h"
#include "dns.h"
#include "log.h"
#include "reload.h"
#include "routes.h"
#include "unit/temp_path.h"

static struct world {
	char folder[TEMP_PATH_MAX], path[TEMP_PATH_MAX + 32], ca_too[CERT_FINGERPRINT_SIZE];
	uint16_t port, dns_port;
	struct control control;
	struct udp_sockets udp;
	struct admin_world admin;
	struct reload reload;
} world;

#define NODE     (world.control.node)
#define SNAPSHOT (dataplane_snapshot(world.control.dataplane))
#define CONFIG   (world.reload.now->config)

/* Sections that a configuration has to have: @ is the folder, $ the port. */
#define PKI(more)    "pki: {ca: @/ca.crt, cert: @/host.crt, key: @/host.key" more "}\n"
#define LH(more)     "lighthouse: {am_lighthouse: true" more "}\n"
#define LISTEN(more) "listen: {host: 127.0.0.1, port: $" more "}\n"

#define TEXT_MAX            4096
#define RULES_VERSION_FIRST 1

/* --- files -------------------------------------------------------------------------------------
 */

static void file_write(const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", world.folder, name);
	file = fopen(path, "w");
	cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void cert_write(const char *name, struct cert wanted)
{
	struct prefix networks[] = {prefix_of("10.42.0.1/16")},
		      unsafe[] = {prefix_of("192.168.77.0/24")};
	char text[2048] = "";
	struct cert *cert;

	wanted.not_before = VECTOR_NOT_BEFORE;
	if (!wanted.is_ca) {
		wanted.networks = networks;
		wanted.network_count = 1;
		wanted.unsafe_networks = unsafe;
		wanted.unsafe_network_count = 1;
	}
	wanted.not_after = VECTOR_NOW + 1000;
	cert = cert_made(wanted);
	if (wanted.is_ca) {
		memcpy(world.ca_too, cert->fingerprint, CERT_FINGERPRINT_SIZE);
		strcpy(text, VECTOR_CA_PEM);
	}
	pem_append(text, cert);
	file_write(name, text);
	cert_unref(cert);
}

static void files_make(void)
{
	struct cert other = {.public_key_len = 32};

	temp_path(world.folder, "reload-keys-XXXXXX");
	cr_assert_not_null(mkdtemp(world.folder));
	snprintf(world.path, sizeof(world.path), "%s/config.yml", world.folder);
	file_write("ca.crt", VECTOR_CA_PEM);
	file_write("host.crt", VECTOR_HOST1_PEM);
	file_write("host.key", VECTOR_HOST1_KEY_PEM);
	file_write("other.key", VECTOR_HOST2_KEY_PEM);
	cert_write("renewed.crt", (struct cert){0});
	hex_decode(VECTOR_HOST2_PUBLIC_KEY, other.public_key, sizeof(other.public_key));
	cert_write("other.crt", other);
	cert_write("two.crt", (struct cert){.is_ca = true, .name = "another"});
}

static void files_remove(void)
{
	static const char *const names[] = {"ca.crt",      "host.crt",  "host.key", "other.key",
					    "renewed.crt", "other.crt", "two.crt",  "config.yml"};
	char path[128];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", world.folder, names[i]);
		unlink(path);
	}
	rmdir(world.folder);
}

static int first_cpu(void)
{
	cpu_set_t set;
	int cpu = 0;

	CPU_ZERO(&set);
	sched_getaffinity(0, sizeof(set), &set);
	while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET(cpu, &set))
		cpu++;
	return cpu;
}

static bool has_section(const char *text, const char *section)
{
	const char *at = strstr(text, section);

	return at && (at == text || at[-1] == '\n');
}

/* text, and the sections that it does not have. */
static void config_write(const char *text)
{
	char whole[TEXT_MAX], out[TEXT_MAX];
	size_t used = 0;

	snprintf(whole, sizeof(whole), "%s%s%s%s", text, has_section(text, "pki:") ? "" : PKI(""),
		 has_section(text, "lighthouse:") ? "" : LH(""),
		 has_section(text, "listen:") ? "" : LISTEN(""));
	for (const char *c = whole; *c; c++) {
		int n;

		switch (*c) {
		case '@':
			n = snprintf(out + used, sizeof(out) - used, "%s", world.folder);
			break;
		case '$':
			n = snprintf(out + used, sizeof(out) - used, "%u", world.port);
			break;
		case '#':
			n = snprintf(out + used, sizeof(out) - used, "%u", world.dns_port);
			break;
		case '^':
			n = snprintf(out + used, sizeof(out) - used, "%u", world.dns_port + 1);
			break;
		case '%':
			n = snprintf(out + used, sizeof(out) - used, "%d", first_cpu());
			break;
		default:
			n = snprintf(out + used, sizeof(out) - used, "%c", *c);
		}
		used += (size_t)n;
		cr_assert_lt(used, sizeof(out));
	}
	file_write("config.yml", out);
}

/* --- the world ---------------------------------------------------------------------------------
 */

static uint64_t wall_ns(void *context)
{
	return (uint64_t)VECTOR_NOW * 1000000000u;
}

/* The first of two neighbours that nobody has on loopback. */
static uint16_t free_port(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	cr_assert_eq(bind(fd, (struct sockaddr *)&at, size), 0);
	getsockname(fd, (struct sockaddr *)&at, &size);
	close(fd);
	return ntohs(at.sin_port);
}

/* Memory that no worker holds: there are none. */
static void reap(void)
{
	struct garbage *batch;

	while ((batch = hostmap_garbage_take(world.control.map)))
		hostmap_garbage_release(world.control.map, batch);
}

static void node_make(struct generation *generation)
{
	struct control *control = &world.control;
	struct node_options options;

	cr_assert_eq(generation_node_options(generation, &options), 0);
	options.udp_port = world.port;
	control->node = node_create(&options, &generation->pki, control->map, &control->outside);
	generation_release(&options);
	cr_assert_not_null(control->node);
}

static void dataplane_make(struct generation *generation)
{
	struct control *control = &world.control;
	char error[ERROR_LINE_MAX] = "";
	struct dataplane_options options = {
		.queues = 1,
		.udp_fds = world.udp.fds,
		.control_ring_fd = control_ring_fd(control),
		.map = control->map,
		.tier = dataplane_probe_tier(error),
	};

	control->dataplane = dataplane_create(&options, error);
	cr_assert_not_null(control->dataplane, "%s", error);
	dataplane_publish(control->dataplane,
			  snapshot_build(generation->config, pki_own_cert(&generation->pki),
					 RULES_VERSION_FIRST));
}

/* Starts with text, and the sections that it does not have. */
static void world_make_with(const char *text)
{
	struct control *control = &world.control;
	char error[ERROR_LINE_MAX] = "";
	struct generation *generation;
	struct udp_options udp;
	bool locked;

	if (dataplane_probe_tier(error) == IO_TIER_NONE)
		cr_skip_test("%s", error);
	aead_select(); /* and libsodium */
	files_make();
	world.port = free_port();
	world.dns_port = free_port();
	config_write(text);
	generation = generation_load(world.path, false, VECTOR_NOW, NULL);
	cr_assert(generation && generation->config, "%s",
		  generation ? generation->findings.list[0].text : "");
	generation->rules_version = RULES_VERSION_FIRST;
	cr_assert_eq(control_init(control, 1, error), 0, "%s", error);
	control->outside.wall_ns = wall_ns;
	control->map = hostmap_create(&locked);
	udp = generation_udp(generation);
	cr_assert_eq(udp_open(&world.udp, &udp, error), 0, "%s", error);
	control->udp_fd = world.udp.fds[0];
	control->state = CONTROL_RUNNING;
	node_make(generation);
	dataplane_make(generation);
	control->routes = routes_create("", 0, false);
	control->dns = dns_create(NULL);
	world.admin = (struct admin_world){
		.control = control, .config = generation->config, .pki = &generation->pki};
	world.reload = (struct reload){.control = control,
				       .path = world.path,
				       .udp = &world.udp,
				       .world = &world.admin,
				       .started = generation->config,
				       .now = generation};
}

static void world_make(void)
{
	world_make_with("");
}

static void world_end(void)
{
	struct control *control = &world.control;

	snapshot_free(dataplane_publish(control->dataplane, NULL));
	node_destroy(control->node);
	reap();
	dataplane_destroy(control->dataplane);
	dns_destroy(control->dns);
	routes_destroy(control->routes);
	hostmap_destroy(control->map);
	udp_close(&world.udp);
	control_close(control);
	reload_release(&world.reload);
	files_remove();
}

/* --- reloads ---------------------------------------------------------------------------------
 */

static void reload_with(const char *text)
{
	struct log_options quiet = {.level = LOG_LEVEL_ERROR};

	config_write(text);
	if (log_level_now() != LOG_LEVEL_ERROR)
		log_setup(&quiet);
	cr_assert_eq(reload_run(&world.reload), 0, "%s: %s", text, world.reload.last.text);
	reap();
}

#endif
