/* admin_commands.c - see admin_commands.h. admin_why.c has "why". */
#include "admin_commands.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "addr_text.h"
#include "identity/pem.h"
#include "log.h"

#define ARGUMENTS_MAX 12 /* of one request; "why" with all its flags has 4 */

static int64_t wall_s(const struct admin_world *world)
{
	const struct outside *outside = &world->control->outside;

	return (int64_t)(outside->wall_ns(outside->context) / 1000000000u);
}

static bool addr_read(const char *text, struct addr *addr, char error[ERROR_LINE_MAX])
{
	if (addr_parse(text, addr) == 0)
		return true;
	snprintf(error, ERROR_LINE_MAX, "not an address: %.60s", text);
	return false;
}

static json_t *no_tunnel(const char *text, char error[ERROR_LINE_MAX])
{
	snprintf(error, ERROR_LINE_MAX, "Could not find tunnel for vpn addr: %.60s", text);
	return NULL;
}

/* --- what is -----------------------------------------------------------------------------------
 */

static json_t *run_help(struct admin_world *world, const struct admin_arguments *arguments,
			char error[ERROR_LINE_MAX])
{
	json_t *list = json_array();

	for (size_t i = 0; i < admin_commands_count; i++) {
		const struct admin_command *command = &admin_commands[i];

		if (arguments->count == 0 || strcmp(arguments->positional[0], command->name) == 0)
			json_array_append_new(list,
					      json_pack("{s:s,s:s,s:s}", "name", command->name,
							"arguments", command->arguments,
							"description", command->description));
	}
	if (json_array_size(list) > 0)
		return list;
	json_decref(list);
	snprintf(error, ERROR_LINE_MAX, "did not understand: %.60s", arguments->positional[0]);
	return NULL;
}

static json_t *run_version(struct admin_world *world, const struct admin_arguments *arguments,
			   char error[ERROR_LINE_MAX])
{
	return json_string(M57_VERSION);
}

static json_t *status_warnings(const struct admin_world *world)
{
	json_t *list = json_array();

	for (uint32_t i = 0; world->findings && i < world->findings->count; i++) {
		const struct finding *finding = &world->findings->list[i];

		json_array_append_new(list, json_sprintf("%s:%u: %s", finding->file, finding->line,
							 finding->text));
	}
	return list;
}

static json_t *status_cert(const struct admin_world *world)
{
	const struct cert *own = pki_own_cert(world->pki);
	json_t *networks = json_array();
	char text[PREFIX_TEXT_MAX];

	for (uint16_t i = 0; i < own->network_count; i++)
		json_array_append_new(networks,
				      json_string(prefix_format(&own->networks[i], text)));
	return json_pack("{s:s,s:o,s:i,s:I,s:b}", "name", own->name, "networks", networks,
			 "version", (int)own->version, "daysLeft",
			 (json_int_t)admin_days_left(own, wall_s(world)), "expired",
			 (int)cert_expired(own, wall_s(world)));
}

static json_t *status_lighthouses(const struct admin_world *world)
{
	const struct lighthouse_options *options = &world->config->lighthouse;
	json_t *list = json_array();

	for (uint32_t i = 0; i < options->host_count; i++)
		json_array_append_new(list, admin_text_addr(&options->hosts[i]));
	return list;
}

static json_t *run_status(struct admin_world *world, const struct admin_arguments *arguments,
			  char error[ERROR_LINE_MAX])
{
	const struct aead_backend *aead = aead_chosen(world->config->cipher);
	struct control *control = world->control;

	return json_pack(
		"{s:s,s:o,s:s,s:o,s:i,s:s,s:s,s:s,s:s,s:I,s:s,s:o,s:b,s:o,s:I,s:I,s:s,s:o}",
		"version", M57_VERSION, "uptimeSeconds",
		admin_seconds(control->outside.now_ns(control) - world->started_ns), "interface",
		world->device[0] ? world->device : "disabled", "udpAddr",
		admin_text_endpoint(&world->bound), "queues", (int)control->queues, "ioUring",
		dataplane_tier_name(world->tier), "cipher",
		world->config->cipher == AEAD_AES256GCM ? "aes" : "chachapoly", "aead", aead->name,
		"aeadArchitecture", aead->architecture ? aead->architecture : "",
		"aeadMegabytesPerSecond", (json_int_t)aead_chosen_speed(world->config->cipher),
		"offloads", world->offloads, "certificate", status_cert(world), "amLighthouse",
		(int)world->config->lighthouse.am_lighthouse, "lighthouses",
		status_lighthouses(world), "tunnels", (json_int_t)node_tunnel_count(control->node),
		"pendingHandshakes", (json_int_t)node_pending_count(control->node), "logLevel",
		log_level_name(log_level_now()), "warnings", status_warnings(world));
}

/* --- lists of hosts ----------------------------------------------------------------------------
 */

struct addr_list {
	struct addr *addrs;
	size_t count, capacity;
	const struct addr *after; /* NULL: all */
	bool failed;
};

static void collect(void *context, const struct addr *addr)
{
	struct addr_list *list = context;

	if (list->after && addr_compare(addr, list->after) <= 0)
		return;
	if (list->count == list->capacity) {
		size_t capacity = list->capacity ? list->capacity * 2 : 64;
		struct addr *addrs = realloc(list->addrs, capacity * sizeof(*addrs));

		if (!addrs) {
			list->failed = true;
			return;
		}
		list->addrs = addrs;
		list->capacity = capacity;
	}
	list->addrs[list->count++] = *addr;
}

static int compare(const void *a, const void *b)
{
	return addr_compare(a, b);
}

/* Appends what a host gives to rows; NULL ends a host. */
typedef json_t *row_fn(struct node *node, const struct addr *addr, uint32_t i);

static json_t *pending_row(struct node *node, const struct addr *addr, uint32_t i)
{
	return i == 0 ? admin_pending(node, addr) : NULL;
}

/*
 * {"rows": [...], "more": bool}: hosts by address behind -after, whole hosts, until the bounds of
 * one answer are reached.
 */
static json_t *list_hosts(struct admin_world *world, const struct admin_arguments *arguments,
			  row_fn *row_of, char error[ERROR_LINE_MAX])
{
	struct node *node = world->control->node;
	struct addr_list list = {0};
	json_t *rows = json_array(), *row;
	size_t at = 0, bytes = 0;
	struct addr after;

	if (arguments->after) {
		if (!addr_read(arguments->after, &after, error))
			goto err_rows;
		list.after = &after;
	}
	node_query_hosts(node, collect, &list);
	if (list.failed)
		goto err_list;
	if (list.count)
		qsort(list.addrs, list.count, sizeof(*list.addrs), compare);
	for (;
	     at < list.count && json_array_size(rows) < ADMIN_ROWS_MAX && bytes < ADMIN_ROWS_BYTES;
	     at++) {
		for (uint32_t i = 0; (row = row_of(node, &list.addrs[at], i)); i++) {
			bytes += json_dumpb(row, NULL, 0, JSON_COMPACT);
			json_array_append_new(rows, row);
		}
	}
	json_t *result =
		json_pack("{s:o,s:b,s:o}", "rows", rows, "more", (int)(at < list.count), "last",
			  at > 0 ? admin_text_addr(&list.addrs[at - 1]) : json_null());

	free(list.addrs);
	return result;

err_list:
	free(list.addrs);
err_rows:
	json_decref(rows);
	return NULL;
}

static json_t *run_list_hostmap(struct admin_world *world, const struct admin_arguments *arguments,
				char error[ERROR_LINE_MAX])
{
	return list_hosts(world, arguments, admin_host, error);
}

static json_t *run_list_pending(struct admin_world *world, const struct admin_arguments *arguments,
				char error[ERROR_LINE_MAX])
{
	return list_hosts(world, arguments, pending_row, error);
}

static json_t *addrmap_row(struct node *node, const struct addr *addr, uint32_t i)
{
	struct node_owner_view view;

	if (i > 0 || !node_query_owner(node, addr, 0, &view))
		return NULL;
	return json_pack("{s:o,s:o}", "vpnAddr", admin_text_addr(addr), "addrMap",
			 admin_addrmap(node, addr));
}

static json_t *run_list_addrmap(struct admin_world *world, const struct admin_arguments *arguments,
				char error[ERROR_LINE_MAX])
{
	return list_hosts(world, arguments, addrmap_row, error);
}

static json_t *run_query(struct admin_world *world, const struct admin_arguments *arguments,
			 char error[ERROR_LINE_MAX])
{
	struct addr addr;

	if (!addr_read(arguments->positional[0], &addr, error))
		return NULL;
	if (node_order_query(world->control->node, &addr) == 0)
		return admin_addrmap(world->control->node, &addr);
	snprintf(error, ERROR_LINE_MAX,
		 "nothing is kept of %.60s, which has no tunnel: create-tunnel asks the "
		 "lighthouses and calls it",
		 arguments->positional[0]);
	return NULL;
}

static json_t *run_print_tunnel(struct admin_world *world, const struct admin_arguments *arguments,
				char error[ERROR_LINE_MAX])
{
	struct addr addr;
	json_t *host;

	if (!addr_read(arguments->positional[0], &addr, error))
		return NULL;
	host = admin_host(world->control->node, &addr, 0);
	return host ? host : no_tunnel(arguments->positional[0], error);
}

static json_t *cert_pem(const struct cert *cert)
{
	uint8_t *bytes = NULL;
	json_t *result = NULL;
	size_t length, text_length;
	char *text;

	if (cert_encode(cert, &bytes, &length) != 0)
		return NULL;
	text = pem_encode(cert->version == CERT_VERSION_2 ? PEM_CERTIFICATE_V2 : PEM_CERTIFICATE,
			  bytes, length, &text_length);
	free(bytes);
	if (text)
		result = json_string(text);
	sodium_free(text);
	return result;
}

static json_t *run_print_cert(struct admin_world *world, const struct admin_arguments *arguments,
			      char error[ERROR_LINE_MAX])
{
	const struct cert *cert = pki_own_cert(world->pki);
	struct node_tunnel_view view;
	struct addr addr;

	if (arguments->count > 0) {
		if (!addr_read(arguments->positional[0], &addr, error))
			return NULL;
		if (!node_query_tunnel(world->control->node, &addr, 0, &view))
			return no_tunnel(arguments->positional[0], error);
		cert = view.cert;
	}
	return arguments->raw ? cert_pem(cert) : admin_cert(cert);
}

/* --- counters ----------------------------------------------------------------------------------
 */

#define DROP(symbol, metric, help) [DROP_##symbol] = {metric, help},
#define STAT(symbol, metric, help) [STAT_##symbol] = {metric, help},
static const struct {
	const char *name, *help;
} drop_rows[DROPS] =
	{
#include "drops.def"
},
  stat_rows[STATS] = {
#include "stats.def"
};
#undef DROP
#undef STAT

static json_t *counter_row(const char *name, uint64_t count, const char *help)
{
	return json_pack("{s:s,s:I,s:s}", "name", name, "count", (json_int_t)count, "help", help);
}

/* The time beside the rows: two answers give rates. */
static json_t *counter_answer(struct admin_world *world, json_t *rows)
{
	struct control *control = world->control;

	return json_pack("{s:I,s:o}", "atNs", (json_int_t)control->outside.now_ns(control), "rows",
			 rows);
}

static json_t *run_drops(struct admin_world *world, const struct admin_arguments *arguments,
			 char error[ERROR_LINE_MAX])
{
	json_t *rows = json_array();
	struct stats stats;

	control_stats(world->control, &stats);
	for (size_t i = DROP_NONE + 1; i < DROPS; i++)
		json_array_append_new(
			rows, counter_row(drop_rows[i].name, stats.drops[i], drop_rows[i].help));
	return counter_answer(world, rows);
}

static json_t *run_counters(struct admin_world *world, const struct admin_arguments *arguments,
			    char error[ERROR_LINE_MAX])
{
	json_t *rows = json_array();
	struct stats stats;

	control_stats(world->control, &stats);
	for (size_t i = 0; i < STATS; i++)
		json_array_append_new(
			rows, counter_row(stat_rows[i].name, stats.stats[i], stat_rows[i].help));
	return counter_answer(world, rows);
}

/* --- what shall be -----------------------------------------------------------------------------
 */

static bool remote_read(const struct admin_arguments *arguments, struct endpoint *remote,
			char error[ERROR_LINE_MAX])
{
	if (arguments->address && endpoint_parse(arguments->address, remote) == 0 && remote->port)
		return true;
	snprintf(error, ERROR_LINE_MAX, "No valid address was provided: -address IP:PORT");
	return false;
}

/* Is addr one of ours? Then there is no tunnel to make. */
static bool is_own(const struct admin_world *world, const struct addr *addr)
{
	const struct cert *own = pki_own_cert(world->pki);

	for (uint16_t i = 0; i < own->network_count; i++)
		if (addr_equal(&own->networks[i].addr, addr))
			return true;
	return false;
}

static json_t *run_create(struct admin_world *world, const struct admin_arguments *arguments,
			  char error[ERROR_LINE_MAX])
{
	struct endpoint remote;
	struct addr addr;

	if (!addr_read(arguments->positional[0], &addr, error) ||
	    (arguments->address && !remote_read(arguments, &remote, error)))
		return NULL;
	if (is_own(world, &addr)) {
		snprintf(error, ERROR_LINE_MAX, "%.60s is this host", arguments->positional[0]);
		return NULL;
	}
	switch (node_order_tunnel(world->control->node, &addr,
				  arguments->address ? &remote : NULL)) {
	case 0:
		return json_string("Created");
	case -EEXIST:
		return json_string("Tunnel already exists");
	case -EALREADY:
		return json_string("Tunnel already handshaking");
	}
	snprintf(error, ERROR_LINE_MAX, "too many handshakes are under way; try again later");
	return NULL;
}

static json_t *run_close(struct admin_world *world, const struct admin_arguments *arguments,
			 char error[ERROR_LINE_MAX])
{
	struct addr addr;

	if (!addr_read(arguments->positional[0], &addr, error))
		return NULL;
	if (node_order_close(world->control->node, &addr, arguments->local_only) != 0)
		return no_tunnel(arguments->positional[0], error);
	return json_string("Closed");
}

static json_t *run_change_remote(struct admin_world *world, const struct admin_arguments *arguments,
				 char error[ERROR_LINE_MAX])
{
	struct endpoint remote;
	struct addr addr;

	if (!addr_read(arguments->positional[0], &addr, error) ||
	    !remote_read(arguments, &remote, error))
		return NULL;
	switch (node_order_remote(world->control->node, &addr, &remote)) {
	case 0:
		return json_string("Changed");
	case -ENOENT:
		return no_tunnel(arguments->positional[0], error);
	}
	return NULL;
}

static json_t *run_log_level(struct admin_world *world, const struct admin_arguments *arguments,
			     char error[ERROR_LINE_MAX])
{
	enum log_level level = log_level_now();

	if (arguments->count > 0 && log_level_parse(arguments->positional[0], &level) != 0) {
		snprintf(error, ERROR_LINE_MAX,
			 "unknown log level %.40s: write trace, debug, info, warning or error",
			 arguments->positional[0]);
		return NULL;
	}
	log_level_set(level);
	return json_sprintf("Log level is: %s", log_level_name(level));
}

static json_t *run_device_info(struct admin_world *world, const struct admin_arguments *arguments,
			       char error[ERROR_LINE_MAX])
{
	const struct cert *own = pki_own_cert(world->pki);
	json_t *networks = json_array();
	char text[PREFIX_TEXT_MAX];

	for (uint16_t i = 0; i < own->network_count; i++)
		json_array_append_new(networks,
				      json_string(prefix_format(&own->networks[i], text)));
	return json_pack("{s:s,s:o}", "name", world->device, "cidr", networks);
}

/* --- the table ---------------------------------------------------------------------------------
 */

/* By name. */
const struct admin_command admin_commands[] = {
	{"change-remote", "-address IP:PORT ADDR", "send to this underlay address from now on",
	 ADMIN_ADDRESS, 1, 1, run_change_remote},
	{"close-tunnel", "[-local-only] ADDR", "close all tunnels with a host", ADMIN_LOCAL_ONLY, 1,
	 1, run_close},
	{"counters", "[-interval SECONDS]", "what the packet path has done", 0, 0, 0, run_counters},
	{"create-tunnel", "[-address IP:PORT] ADDR", "begin a handshake with a host", ADMIN_ADDRESS,
	 1, 1, run_create},
	{"device-info", "", "the tun device and its networks", 0, 0, 0, run_device_info},
	{"drops", "[-interval SECONDS]", "dropped packets by reason, with rates", 0, 0, 0,
	 run_drops},
	{"help", "[COMMAND]", "what there is", 0, 0, 1, run_help},
	{"list-hostmap", "", "tunnels, by address", ADMIN_AFTER, 0, 0, run_list_hostmap},
	{"list-lighthouse-addrmap", "", "where hosts are, by who said so", ADMIN_AFTER, 0, 0,
	 run_list_addrmap},
	{"list-pending-hostmap", "", "handshakes under way", ADMIN_AFTER, 0, 0, run_list_pending},
	{"log-level", "[LEVEL]", "say or set the level of the log", 0, 0, 1, run_log_level},
	{"print-cert", "[-raw] [ADDR]", "our certificate, or a peer's", ADMIN_RAW, 0, 1,
	 run_print_cert},
	{"print-tunnel", "ADDR", "all about the tunnel with a host", 0, 1, 1, run_print_tunnel},
	{"query-lighthouse", "ADDR", "ask the lighthouses; print what is known so far", 0, 1, 1,
	 run_query},
	{"status", "", "this node in one page", 0, 0, 0, run_status},
	{"version", "", "version of the daemon", 0, 0, 0, run_version},
	{"why", "ADDRESS [PROTO PORT]", "why a host is reachable, or is not", 0, 1, 3, admin_why},
};
const size_t admin_commands_count = sizeof(admin_commands) / sizeof(admin_commands[0]);

/* --- requests ----------------------------------------------------------------------------------
 */

static const struct admin_command *command_find(const char *name)
{
	for (size_t i = 0; i < admin_commands_count; i++)
		if (strcmp(admin_commands[i].name, name) == 0)
			return &admin_commands[i];
	return NULL;
}

/* "-name" or "--name"; what follows a '=' in *value. */
static bool flag_is(const char *argument, const char *name, const char **value)
{
	size_t length = strlen(name);

	argument += argument[1] == '-' ? 2 : 1;
	if (strncmp(argument, name, length) != 0 ||
	    (argument[length] != '\0' && argument[length] != '='))
		return false;
	*value = argument[length] == '=' ? argument + length + 1 : NULL;
	return true;
}

/* Takes one flag of command; *at moves on to its value, if that is a word of its own. */
static bool flag_take(const struct admin_command *command, int argc, char **argv, int *at,
		      struct admin_arguments *out)
{
	const struct {
		enum admin_flag takes;
		const char *name;
		const char **text;
		bool *truth;
	} flags[] = {
		{ADMIN_ADDRESS, "address", &out->address, NULL},
		{ADMIN_AFTER, "after", &out->after, NULL},
		{ADMIN_LOCAL_ONLY, "local-only", NULL, &out->local_only},
		{ADMIN_RAW, "raw", NULL, &out->raw},
	};
	const char *value;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (!(command->flags & flags[i].takes) ||
		    !flag_is(argv[*at], flags[i].name, &value))
			continue;
		if (flags[i].truth) {
			*flags[i].truth = true;
			return !value;
		}
		if (!value && *at + 1 < argc)
			value = argv[++*at];
		*flags[i].text = value;
		return value != NULL;
	}
	return false;
}

/* Flags may stand anywhere. False with one line in error. */
static bool arguments_read(const struct admin_command *command, int argc, char **argv,
			   struct admin_arguments *out, char error[ERROR_LINE_MAX])
{
	memset(out, 0, sizeof(*out));
	for (int i = 0; i < argc; i++) {
		if (argv[i][0] == '-' && argv[i][1]) {
			if (!flag_take(command, argc, argv, &i, out))
				goto usage;
		} else {
			if (out->count == command->most)
				goto usage;
			out->positional[out->count++] = argv[i];
		}
	}
	if (out->count >= command->least)
		return true;
usage:
	snprintf(error, ERROR_LINE_MAX, "usage: %s %s", command->name, command->arguments);
	return false;
}

/* Pointers into arguments. -1: not a list of at most ARGUMENTS_MAX texts. */
static int arguments_list(json_t *arguments, char *argv[ARGUMENTS_MAX])
{
	size_t count = json_array_size(arguments);

	if (arguments && !json_is_array(arguments))
		return -1;
	if (count > ARGUMENTS_MAX)
		return -1;
	for (size_t i = 0; i < count; i++) {
		json_t *text = json_array_get(arguments, i);

		if (!json_is_string(text))
			return -1;
		argv[i] = (char *)json_string_value(text);
	}
	return (int)count;
}

static json_t *result_of(struct admin_world *world, json_t *request, char error[ERROR_LINE_MAX])
{
	const char *name = json_string_value(json_object_get(request, "command"));
	const struct admin_command *command;
	struct admin_arguments arguments;
	char *argv[ARGUMENTS_MAX];
	int argc = arguments_list(json_object_get(request, "arguments"), argv);

	if (!name || argc < 0) {
		snprintf(error, ERROR_LINE_MAX,
			 "a request is {\"command\": NAME, \"arguments\": [TEXT...]}");
		return NULL;
	}
	command = command_find(name);
	if (!command) {
		snprintf(error, ERROR_LINE_MAX, "did not understand: %.60s", name);
		return NULL;
	}
	if (!arguments_read(command, argc, argv, &arguments, error))
		return NULL;
	/* cppcheck-suppress returnDanglingLifetime */
	return command->run(world, &arguments, error);
}

json_t *admin_answer(void *context, const char *line, size_t length)
{
	json_t *request = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL);
	char error[ERROR_LINE_MAX] = "";
	json_t *result = NULL, *answer;

	if (!json_is_object(request))
		snprintf(error, sizeof(error), "not a JSON object");
	else
		result = result_of(context, request, error);
	if (result)
		answer = json_pack("{s:b,s:o}", "ok", 1, "result", result);
	else
		answer = json_pack("{s:b,s:s}", "ok", 0, "error",
				   error[0] ? error : "out of memory");
	if (!answer) /* a text that was cut inside a character */
		answer = json_pack("{s:b,s:s}", "ok", 0, "error", "the request was not understood");
	json_decref(request);
	return answer;
}
