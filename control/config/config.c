/*
 * config.c - fills struct config from the tree; see config.h.
 */
#include "config/config.h"

#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <sodium.h>

#include "config/keys.h"
#include "config/read.h"
#include "config/yaml.h"
#include "system/cpu_topology.h"

#define SECOND_NS           1000000000ull
#define TIMEOUT_MAX_NS      (365 * 24 * 3600 * SECOND_NS) /* conntrack counts seconds in 32 bits */
#define TRY_INTERVAL_MIN_NS 1000000ull                    /* 1 ms: a timer that does not spin */
#define TRY_INTERVAL_MAX_NS (3600 * SECOND_NS)
#define RETRIES_MAX         1000
#define TIMER_SECONDS_MAX   86400 /* of a check of tunnels */

struct config_memory {
	struct arena arena;
	char *key; /* pki.key in secure memory */
};

/* --- pki -------------------------------------------------------------------------------------- */

static struct config_text pki_text(const struct config_reader *r, const char *path,
				   const char *what)
{
	const struct yaml_node *node = read_node(r, path);
	struct config_text out = {.where = read_where(r, path)};

	if (node == NULL || (node->kind == NODE_SCALAR && node->text[0] == '\0')) {
		finding_error(r->findings, out.where,
			      "%s is missing; give it the path of %s, or its PEM text", path, what);
		return out;
	}
	if (node->kind != NODE_SCALAR) {
		finding_error(r->findings, out.where,
			      "%s is a %s; give it the path of %s, or its PEM text", path,
			      node->kind == NODE_LIST ? "list" : "map", what);
		return out;
	}
	out.text = node->text;
	return out;
}

static void read_blocklist(struct config_reader *r)
{
	const struct yaml_node *list = read_list(r, "pki.blocklist", false);
	struct config *config = r->config;

	if (list == NULL)
		return;
	config->pki.blocklist = arena_alloc(r->arena, list->count * sizeof(struct config_text));
	for (uint32_t i = 0; i < list->count; i++) {
		const char *text = yaml_text(list->items[i], r->arena);

		config->pki.blocklist[config->pki.blocklist_count++] = (struct config_text){
			.text = text != NULL ? text : "(a list or map)",
			.where = list->items[i]->where,
		};
	}
}

static void read_pki(struct config_reader *r)
{
	struct config *config = r->config;
	struct config_text key;

	config->pki.ca = pki_text(r, "pki.ca", "the CA certificates");
	config->pki.cert = pki_text(r, "pki.cert", "this host's certificate");
	key = pki_text(r, "pki.key", "this host's private key");
	if (key.text != NULL && strncmp(key.text, "pkcs11:", 7) == 0) {
		finding_error(r->findings, key.where,
			      "pki.key: keys in PKCS#11 modules are not supported; give the path "
			      "of a key file");
		key.text = NULL;
	}
	if (key.text != NULL) {
		config->memory->key = sodium_malloc(strlen(key.text) + 1);
		if (config->memory->key != NULL)
			strcpy(config->memory->key, key.text);
		else
			finding_error(r->findings, key.where, "pki.key: out of memory");
		key.text = config->memory->key;
	}
	config->pki.key = key;
	read_blocklist(r);
	config->pki.disconnect_invalid = read_bool(r, "pki.disconnect_invalid");
}

static void read_cipher(struct config_reader *r)
{
	const char *text = read_text(r, "cipher");
	char quote[FINDING_QUOTE_MAX];

	r->config->cipher = AEAD_AES256GCM;
	if (strcmp(text, "chachapoly") == 0)
		r->config->cipher = AEAD_CHACHA20POLY1305;
	else if (strcmp(text, "aes") != 0)
		finding_error(r->findings, read_where(r, "cipher"),
			      "unknown cipher \"%s\"; write aes or chachapoly, the same on all "
			      "nodes",
			      finding_quote(text, quote));
}

/* --- listen ----------------------------------------------------------------------------------- */

static enum recv_error_policy read_recv_error(struct config_reader *r, const char *path)
{
	const char *text = read_text(r, path);
	const struct yaml_node *node = read_node(r, path);
	char quote[FINDING_QUOTE_MAX];
	bool truth = true;

	if (strcmp(text, "always") == 0)
		return RECV_ERROR_ALWAYS;
	if (strcmp(text, "never") == 0)
		return RECV_ERROR_NEVER;
	if (strcmp(text, "private") == 0)
		return RECV_ERROR_PRIVATE;
	if (yaml_bool(node, &truth) != 0)
		finding_warning(r->findings, node->where,
				"%s: \"%s\" is unknown; the default always is used: write always, "
				"never or private",
				path, finding_quote(text, quote));
	return truth ? RECV_ERROR_ALWAYS : RECV_ERROR_NEVER;
}

/* A name cannot hold a colon, and an address of IPv6 holds two; it may name an interface. */
static bool is_listen_host(const char *host)
{
	const char *colon = strchr(host, ':');

	if (host[0] == '\0' || strpbrk(host, " /[]") != NULL || strlen(host) > HOSTNAME_MAX)
		return false;
	return colon == NULL || strchr(colon + 1, ':') != NULL;
}

static void read_listen(struct config_reader *r)
{
	struct config *config = r->config;
	const char *host = read_text(r, "listen.host");
	int64_t batch = read_int(r, "listen.batch", INT32_MIN, INT32_MAX);

	if (strcmp(host, "[::]") == 0)
		host = "::"; /* what old guides say */
	if (!is_listen_host(host))
		finding_error(
			r->findings, read_where(r, "listen.host"),
			"listen.host is neither an address nor a host name; write 0.0.0.0 for "
			"all of IPv4, or :: for IPv4 and IPv6; its port is listen.port");
	config->listen.host = host;
	config->listen.host_where = read_where(r, "listen.host");
	config->listen.port = (uint16_t)read_int(r, "listen.port", 0, UINT16_MAX);
	config->listen.port_where = read_where(r, "listen.port");
	config->listen.batch = batch < 1 ? 1 : (uint32_t)batch;
	config->listen.read_buffer =
		(uint32_t)read_clamped(r, "listen.read_buffer", 0, INT32_MAX / 2);
	config->listen.write_buffer =
		(uint32_t)read_clamped(r, "listen.write_buffer", 0, INT32_MAX / 2);
	config->listen.so_mark = (uint32_t)read_int(r, "listen.so_mark", 0, UINT32_MAX);
	config->listen.udp_offloads = read_bool(r, "listen.udp_offloads");
	config->listen.send_recv_error = read_recv_error(r, "listen.send_recv_error");
	config->listen.accept_recv_error = read_recv_error(r, "listen.accept_recv_error");
}

/* PROTOCOL.md 9.3; auto is ours */
static void read_routines(struct config_reader *r)
{
	const struct yaml_node *node = read_node(r, "routines");
	struct where where = read_where(r, "routines");
	int64_t routines;

	if (node != NULL && node->kind == NODE_SCALAR && strcmp(node->text, "auto") == 0) {
		uint32_t usable = cpu_usable();

		r->config->routines = usable < QUEUES_MAX ? usable : QUEUES_MAX;
		return;
	}
	routines = read_int(r, "routines", INT32_MIN, INT32_MAX);
	if (routines == 0) {
		int64_t tun = read_int(r, "tun.routines", INT32_MIN, INT32_MAX);
		int64_t listen = read_int(r, "listen.routines", INT32_MIN, INT32_MAX);

		routines = tun > listen ? tun : listen;
		where = read_where(r, tun > listen ? "tun.routines" : "listen.routines");
		if (routines > 1)
			finding_warning(r->findings, where,
					"setting tun.routines and listen.routines is deprecated; "
					"write routines: %lld instead",
					(long long)routines);
	} else if (routines < 1) {
		finding_warning(r->findings, where, "routines: %lld; 1 is used",
				(long long)routines);
	}
	if (routines > QUEUES_MAX)
		finding_warning(r->findings, where, "routines: more than %d; %d are used",
				QUEUES_MAX, QUEUES_MAX);
	r->config->routines = routines < 1            ? 1
			      : routines > QUEUES_MAX ? QUEUES_MAX
						      : (uint32_t)routines;
}

/* --- tun, handshakes -------------------------------------------------------------------------- */

/* tun.cpu_affinity: every entry counts, or none does. */
static void read_cpu_affinity(struct config_reader *r)
{
	const struct yaml_node *list = read_list(r, "tun.cpu_affinity", false);
	struct config *config = r->config;
	char quote[FINDING_QUOTE_MAX];

	if (list == NULL)
		return;
	config->tun.cpu_affinity = arena_alloc(r->arena, QUEUES_MAX * sizeof(uint32_t));
	for (uint32_t i = 0; i < list->count; i++) {
		const struct yaml_node *item = list->items[i];
		int64_t cpu;

		if (yaml_int(item, &cpu) != 0 || !cpu_allowed(cpu)) {
			finding_warning(
				r->findings, item->where,
				"tun.cpu_affinity: \"%s\" is no CPU that this process may run "
				"on, and the whole list is ignored; see Cpus_allowed_list in "
				"/proc/self/status",
				item->kind == NODE_SCALAR ? finding_quote(item->text, quote)
							  : "(a list or map)");
			config->tun.cpu_affinity_count = 0;
			return;
		}
		if (i < QUEUES_MAX)
			config->tun.cpu_affinity[config->tun.cpu_affinity_count++] = (uint32_t)cpu;
	}
}

/* PROTOCOL.md 11.6, 9.2 */
static void read_pinning(struct config_reader *r)
{
	struct config *config = r->config;
	bool pin = read_bool(r, "tun.pin_threads");

	read_cpu_affinity(r);
	if (read_node(r, "tun.pin_threads") == NULL && config->tun.cpu_affinity_count == 0)
		pin = cpu_usable() >= PIN_CPUS_DEFAULT;
	if (config->routines <= 1 && config->tun.cpu_affinity_count > 0)
		finding_warning(r->findings, read_where(r, "tun.cpu_affinity"),
				"tun.cpu_affinity has no effect with one routine; set routines, or "
				"start the node by taskset or with CPUAffinity= in its unit");
	config->tun.pin_threads = pin && config->routines > 1;
}

/*
 * What the kernel takes as one; "" and a %d in it leave the name, or its number, to the kernel. To
 * it 0xa0 is a space.
 */
static bool is_device_name(const char *name)
{
	const char *percent = strchr(name, '%');

	if (strlen(name) >= IFNAMSIZ || strpbrk(name, "/: \t\n\v\f\r\xa0") != NULL)
		return false;
	if (percent != NULL && (percent[1] != 'd' || strchr(percent + 1, '%') != NULL))
		return false;
	return strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static void read_tun(struct config_reader *r)
{
	struct config *config = r->config;
	struct where where = read_where(r, "tun.mtu");
	int64_t mtu = read_int(r, "tun.mtu", INT32_MIN, INT32_MAX);

	config->tun.disabled = read_bool(r, "tun.disabled");
	config->tun.dev = read_text(r, "tun.dev");
	config->tun.dev_where = read_where(r, "tun.dev");
	if (!is_device_name(config->tun.dev))
		finding_error(r->findings, config->tun.dev_where,
			      "tun.dev is no name for a device; use at most %d letters and digits",
			      IFNAMSIZ - 1);
	if (mtu > TUN_MTU_MAX)
		finding_error(r->findings, where,
			      "tun.mtu %lld is above %d: peers receive into buffers of 9001 bytes "
			      "and would cut longer packets; lower it",
			      (long long)mtu, TUN_MTU_MAX);
	else if (mtu < 68)
		finding_error(r->findings, where,
			      "tun.mtu %lld is below 68, the least that IPv4 works with; 1300 is "
			      "usual",
			      (long long)mtu);
	config->tun.mtu = mtu < 68 || mtu > TUN_MTU_MAX ? 1300 : (uint32_t)mtu;
	config->tun.tx_queue = (uint32_t)read_clamped(r, "tun.tx_queue", 1, 1000000);
	config->tun.drop_local_broadcast = read_bool(r, "tun.drop_local_broadcast");
	config->tun.drop_multicast = read_bool(r, "tun.drop_multicast");
	config->tun.use_offloads = read_bool(r, "tun.use_offloads");
	config->tun.use_system_routes = read_bool(r, "tun.use_system_route_table");
	config->tun.system_routes_buffer = (uint32_t)read_clamped(
		r, "tun.use_system_route_table_buffer_size", 0, SYSTEM_ROUTES_BUFFER_MAX);
	read_pinning(r);
	read_routes(r);
	read_unsafe_routes(r);
}

static void read_handshakes(struct config_reader *r)
{
	struct config *config = r->config;

	config->handshakes.try_interval_ns = read_duration(
		r, "handshakes.try_interval", TRY_INTERVAL_MIN_NS, TRY_INTERVAL_MAX_NS);
	config->handshakes.retries =
		(uint32_t)read_clamped(r, "handshakes.retries", 1, RETRIES_MAX);
}

/* --- tunnels, punchy ---------------------------------------------------------------------------
 */

static void read_tunnels(struct config_reader *r)
{
	struct config *config = r->config;
	const struct yaml_node *punchy = read_node(r, "punchy");

	config->tunnels.alive_interval_ns =
		SECOND_NS *
		(uint64_t)read_clamped(r, "timers.connection_alive_interval", 1, TIMER_SECONDS_MAX);
	config->tunnels.deletion_interval_ns =
		SECOND_NS *
		(uint64_t)read_clamped(r, "timers.pending_deletion_interval", 1, TIMER_SECONDS_MAX);
	config->tunnels.drop_inactive = read_bool(r, "tunnels.drop_inactive");
	config->tunnels.inactivity_ns =
		read_duration(r, "tunnels.inactivity_timeout", SECOND_NS, TIMEOUT_MAX_NS);
	config->tunnels.try_promote =
		(uint32_t)read_clamped(r, "counters.try_promote", 0, UINT32_MAX);
	config->tunnels.requery_every =
		(uint32_t)read_clamped(r, "counters.requery_every_packets", 0, UINT32_MAX);
	config->tunnels.requery_wait_ns =
		read_duration(r, "timers.requery_wait_duration", 0, TIMEOUT_MAX_NS);
	/* "punchy: true" is the old form of punchy.punch */
	config->punchy.punch = read_bool(
		r, punchy != NULL && punchy->kind == NODE_SCALAR ? "punchy" : "punchy.punch");
	config->punchy.target_all_remotes = read_bool(r, "punchy.target_all_remotes");
}

/* --- firewall, logging ------------------------------------------------------------------------ */

static uint32_t read_timeout(struct config_reader *r, const char *path)
{
	uint64_t ns = read_duration(r, path, SECOND_NS, TIMEOUT_MAX_NS);

	return (uint32_t)((ns + SECOND_NS - 1) / SECOND_NS);
}

static enum firewall_action read_action(struct config_reader *r, const char *path)
{
	const char *text = read_text(r, path);
	struct where where = read_where(r, path);
	char quote[FINDING_QUOTE_MAX];

	if (strcmp(text, "drop") == 0)
		return FIREWALL_DROP;
	if (strcmp(text, "reject") == 0)
		return FIREWALL_REJECT;
	finding_warning(r->findings, where,
			"%s: \"%s\" is unknown; the default drop is used: write drop or reject",
			path, finding_quote(text, quote));
	return FIREWALL_DROP;
}

static void read_firewall(struct config_reader *r)
{
	struct config *config = r->config;

	for (int direction = 0; direction < 2; direction++) {
		const char *key = direction == OUTBOUND ? "firewall.outbound" : "firewall.inbound";

		rules_read(read_node(r, key), key, r->arena, &config->firewall.rules[direction],
			   r->findings);
	}
	config->firewall.action[OUTBOUND] = read_action(r, "firewall.outbound_action");
	config->firewall.action[INBOUND] = read_action(r, "firewall.inbound_action");
	config->firewall.default_local_cidr_any = read_bool(r, "firewall.default_local_cidr_any");
	config->firewall.tcp_timeout_s = read_timeout(r, "firewall.conntrack.tcp_timeout");
	config->firewall.udp_timeout_s = read_timeout(r, "firewall.conntrack.udp_timeout");
	config->firewall.default_timeout_s = read_timeout(r, "firewall.conntrack.default_timeout");
}

static void read_logging(struct config_reader *r)
{
	struct log_options *logging = &r->config->logging;
	const char *level = read_text(r, "logging.level");
	const char *format = read_text(r, "logging.format");
	char quote[FINDING_QUOTE_MAX];

	logging->level = LOG_LEVEL_INFO;
	if (log_level_parse(level, &logging->level) != 0)
		finding_error(r->findings, read_where(r, "logging.level"),
			      "unknown logging.level \"%s\"; write trace, debug, info, warning or "
			      "error",
			      finding_quote(level, quote));
	logging->format = LOG_FORMAT_TEXT;
	if (strcasecmp(format, "json") == 0)
		logging->format = LOG_FORMAT_JSON;
	else if (strcasecmp(format, "text") != 0)
		finding_error(r->findings, read_where(r, "logging.format"),
			      "unknown logging.format \"%s\"; write text or json",
			      finding_quote(format, quote));
	logging->disable_timestamp = read_bool(r, "logging.disable_timestamp");
}

#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

/* Absent: the default. "", false, off and no switch it off. */
static void read_ctl(struct config_reader *r)
{
	const struct yaml_node *node = read_node(r, "m57.ctl");
	struct config *config = r->config;
	bool on = true;

	config->ctl.where = read_where(r, "m57.ctl");
	if (node == NULL)
		return;
	if (node->kind != NODE_SCALAR || (yaml_bool(node, &on) == 0 && on)) {
		finding_warning(r->findings, node->where,
				"m57.ctl: the default path is used: write the path of a socket, or "
				"false for none");
		return;
	}
	config->ctl.path = yaml_text(node, r->arena);
	config->ctl.off = !on || config->ctl.path == NULL || config->ctl.path[0] == '\0';
	if (!config->ctl.off && strlen(config->ctl.path) > SOCKET_PATH_MAX)
		finding_warning(
			r->findings, node->where,
			"m57.ctl: the path is longer than %zu bytes, so no socket can be made "
			"there; shorten it",
			SOCKET_PATH_MAX);
}

/* --- all of it -------------------------------------------------------------------------------- */

/* For arena_try(): all memory hangs on the arena and the configuration. */
static void read_all(void *context)
{
	struct config_reader *r = context;
	struct config *config = r->config;

	r->path = arena_text(r->arena, r->path, strlen(r->path));
	config->tree = r->root = yaml_load(r->path, r->arena, r->findings);
	if (r->root == NULL)
		return;
	config->allow_incomplete = read_bool(r, "m57.allow_incomplete");
	keys_check(r->root, config->allow_incomplete, r->findings);
	read_pki(r);
	read_cipher(r);
	read_static_hosts(r);
	read_listen(r);
	read_lighthouse(r);
	read_relay(r);
	read_routines(r);
	read_tun(r);
	read_handshakes(r);
	read_tunnels(r);
	read_firewall(r);
	read_logging(r);
	read_ctl(r);
	config->spread_flows = read_bool(r, "m57.spread_flows");
	config->sparse_queue = read_bool(r, "m57.sparse_queue");
	config->busy_poll_us = (uint32_t)read_int(r, "m57.busy_poll", 0, BUSY_POLL_US_MAX);
}

struct config *config_load(const char *path, struct findings *findings)
{
	struct config *config = calloc(1, sizeof(*config));
	struct config_memory *memory = calloc(1, sizeof(*memory));
	struct config_reader r = {.findings = findings, .path = path, .config = config};

	if (config == NULL || memory == NULL) {
		finding_error(findings, (struct where){path, 0}, "out of memory");
		free(memory);
		free(config);
		return NULL;
	}
	config->memory = memory;
	r.arena = &memory->arena;
	if (!arena_try(r.arena, read_all, &r))
		finding_error(findings, (struct where){path, 0}, "out of memory");
	else if (config->tree != NULL)
		return config;
	config_free(config);
	return NULL;
}

void config_forget_key(struct config *config)
{
	const struct yaml_node *node = yaml_find(config->tree, "pki.key");

	if (node != NULL && node->kind == NODE_SCALAR) /* the arena's, whoever else refers to it */
		sodium_memzero((char *)node->text, strlen(node->text));
	sodium_free(config->memory->key);
	config->memory->key = NULL;
	config->pki.key.text = NULL;
}

void config_free(struct config *config)
{
	if (config == NULL)
		return;
	lighthouse_options_free(&config->lighthouse);
	arena_free(&config->memory->arena);
	sodium_free(config->memory->key);
	free(config->memory);
	free(config);
}
