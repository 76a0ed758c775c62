/* admin_status.c - what m57ctl asks about this node as a whole: status, counters, log. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "addr_text.h"
#include "admin_commands.h"
#include "log.h"
#include "utf8.h"

static int64_t wall_s(const struct admin_world *world)
{
	const struct outside *outside = &world->control->outside;

	return (int64_t)(outside->wall_ns(outside->context) / 1000000000u);
}

/* --- in one page -------------------------------------------------------------------------------
 */

json_t *admin_run_version(struct admin_world *world, const struct admin_arguments *arguments,
			  char error[ERROR_LINE_MAX])
{
	return json_string(M57_VERSION);
}

static json_t *status_warnings(const struct admin_world *world)
{
	json_t *list = json_array();
	char *text;

	for (uint32_t i = 0; world->findings && i < world->findings->count; i++) {
		const struct finding *finding = &world->findings->list[i];

		if (asprintf(&text, "%s:%u: %s", finding->file, finding->line, finding->text) < 0)
			continue;
		utf8_mend(text); /* a path may hold any bytes */
		json_array_append_new(list, json_string(text));
		free(text);
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

/* Null before the first one. */
static json_t *reload_json(const struct admin_world *world)
{
	const struct reload_outcome *last = world->reload ? &world->reload->last : NULL;
	const struct control *control = world->control;

	if (!last || !last->at_ns)
		return json_null();
	return json_pack(
		"{s:s,s:o,s:i,s:i,s:s}", "result", last->ok ? "applied" : "refused", "agoSeconds",
		admin_seconds(control->outside.now_ns((void *)control) - last->at_ns), "applied",
		(int)last->applied, "errors", (int)last->error_count, "text", last->text);
}

/* null unless the kernel's table is followed. */
static json_t *status_system_routes(const struct admin_world *world)
{
	struct routes_learned learned = {0};

	if (world->control->routes)
		routes_learned(world->control->routes, &learned);
	if (!learned.followed)
		return json_null();
	return json_pack("{s:i,s:i,s:I,s:I,s:I}", "routes", (int)learned.count, "leftOut",
			 (int)learned.left_out, "overruns", (json_int_t)learned.overruns, "dumps",
			 (json_int_t)learned.dumps, "tables", (json_int_t)learned.tables);
}

json_t *admin_run_status(struct admin_world *world, const struct admin_arguments *arguments,
			 char error[ERROR_LINE_MAX])
{
	const struct aead_backend *aead = aead_chosen(world->config->cipher);
	struct control *control = world->control;

	return json_pack(
		"{s:s,s:o,s:s,s:o,s:i,s:s,s:b,s:b,s:s,s:s,s:s,s:s,s:I,s:s,s:o,s:b,s:o,s:I,s:I,s:s,"
		"s:o,"
		"s:o,s:o}",
		"version", M57_VERSION, "uptimeSeconds",
		admin_seconds(control->outside.now_ns(control) - world->started_ns), "interface",
		world->device[0] ? world->device : "disabled", "udpAddr",
		admin_text_endpoint(&world->bound), "queues", (int)control->queues, "steering",
		steering_name(control->steering), "sparseQueue", (int)world->sparse, "spreadFlows",
		(int)world->config->spread_flows, "ioUring", dataplane_tier_name(world->tier),
		"cipher", world->config->cipher == AEAD_AES256GCM ? "aes" : "chachapoly", "aead",
		aead->name, "aeadArchitecture", aead->architecture ? aead->architecture : "",
		"aeadMegabytesPerSecond", (json_int_t)aead_chosen_speed(world->config->cipher),
		"offloads", world->offloads, "certificate", status_cert(world), "amLighthouse",
		(int)world->config->lighthouse.am_lighthouse, "lighthouses",
		status_lighthouses(world), "tunnels", (json_int_t)node_tunnel_count(control->node),
		"pendingHandshakes", (json_int_t)node_pending_count(control->node), "logLevel",
		log_level_name(log_level_now()), "systemRoutes", status_system_routes(world),
		"reload", reload_json(world), "warnings", status_warnings(world));
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

json_t *admin_run_drops(struct admin_world *world, const struct admin_arguments *arguments,
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

json_t *admin_run_counters(struct admin_world *world, const struct admin_arguments *arguments,
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

/* What each worker has done: how a tunnel's flows are spread shows here. */
static json_t *queue_row(const struct admin_world *world, uint32_t queue)
{
	struct control *control = world->control;
	static const enum statistic shown[] = {
		STAT_TUN_PACKETS,  STAT_UDP_SENT,    STAT_UDP_RECEIVED,
		STAT_TUN_WRITTEN,  STAT_HANDED_OVER, STAT_HANDED_TAKEN,
		STAT_COPIED_BYTES, STAT_LOOPS,       STAT_WAITS,
	};
	const char *flows = !world->sparse                 ? "all"
			    : queue + 1 == control->queues ? "sparse"
							   : "bulk";
	json_t *row = json_pack("{s:i,s:s}", "queue", (int)queue, "flows", flows);
	uint64_t drops[DROPS] = {0}, stats[STATS] = {0}, dropped = 0;

	dataplane_read_queue(control->dataplane, queue, drops, stats);
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		json_object_set_new(row, stat_rows[shown[i]].name,
				    json_integer((json_int_t)stats[shown[i]]));
	for (size_t i = DROP_NONE + 1; i < DROPS; i++)
		dropped += drops[i];
	json_object_set_new(row, "dropped", json_integer((json_int_t)dropped));
	return row;
}

json_t *admin_run_queues(struct admin_world *world, const struct admin_arguments *arguments,
			 char error[ERROR_LINE_MAX])
{
	json_t *rows = json_array();

	for (uint32_t queue = 0; queue < world->control->queues; queue++)
		json_array_append_new(rows, queue_row(world, queue));
	return rows;
}

/* --- reload ------------------------------------------------------------------------------------
 */

/* A refused one is an error of m57ctl: the first lines of what is wrong, cut where there is no
 * room.
 */
static void refusal(const struct reload_outcome *last, char error[ERROR_LINE_MAX])
{
	char place[FINDING_PLACE_MAX];
	int used = snprintf(error, ERROR_LINE_MAX, "not reloaded, nothing has changed; %u error%s",
			    last->error_count, last->error_count == 1 ? "" : "s");

	for (uint32_t i = 0; i < last->findings.count && used < ERROR_LINE_MAX; i++) {
		const struct finding *finding = &last->findings.list[i];

		if (finding->severity == SEVERITY_ERROR)
			used += snprintf(error + used, (size_t)(ERROR_LINE_MAX - used), "\n%s: %s",
					 finding_place(finding, place), finding->text);
	}
}

json_t *admin_run_reload(struct admin_world *world, const struct admin_arguments *arguments,
			 char error[ERROR_LINE_MAX])
{
	if (!world->reload || world->control->state != CONTROL_RUNNING) {
		snprintf(error, ERROR_LINE_MAX, "the node is starting or ending");
		return NULL;
	}
	if (reload_run(world->reload) == 0) {
		json_t *answer = reload_json(world);

		/* a value that cannot be read has become its default */
		json_object_set_new(answer, "warnings", status_warnings(world));
		return answer;
	}
	refusal(&world->reload->last, error);
	return NULL;
}

/* --- log and device ----------------------------------------------------------------------------
 */

json_t *admin_run_log_level(struct admin_world *world, const struct admin_arguments *arguments,
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

json_t *admin_run_device_info(struct admin_world *world, const struct admin_arguments *arguments,
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
