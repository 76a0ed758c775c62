/* generation.c - see generation.h. */
#include "generation.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/check.h"

struct generation *generation_load(const char *path, bool strict, int64_t now,
				   const struct generation *running)
{
	struct generation *generation = calloc(1, sizeof(*generation));

	if (generation)
		(void)check_reload(path, strict, now, running ? &running->pki : NULL,
				   &generation->config, &generation->pki, &generation->findings);
	return generation;
}

void generation_free(struct generation *generation)
{
	if (!generation)
		return;
	if (generation->config)
		pki_free(&generation->pki);
	config_free(generation->config);
	findings_free(&generation->findings);
	free(generation);
}

struct config *generation_take_config(struct generation *generation)
{
	struct config *config = generation->config;

	if (config)
		pki_free(&generation->pki);
	generation->config = NULL;
	return config;
}

/* --- the node ----------------------------------------------------------------------------------
 */

static struct peer_rules *peer_rules_build(void *context, const struct cert *peer,
					   const struct cert *ca)
{
	const struct generation *generation = context;

	return rules_for_peer(generation->config->firewall.rules, generation->rules_version, peer,
			      ca ? ca->name : NULL);
}

static struct node_static_host *static_hosts_collect(const struct config *config)
{
	struct node_static_host *hosts = calloc(config->static_host_count + 1, sizeof(*hosts));

	for (uint32_t i = 0; hosts && i < config->static_host_count; i++) {
		hosts[i].addr = config->static_hosts[i].overlay;
		hosts[i].remote_count = config->static_hosts[i].remote_count;
		memcpy(hosts[i].remotes, config->static_hosts[i].remotes, sizeof(hosts[i].remotes));
	}
	return hosts;
}

/* Texts are the configuration's. */
static struct name_entry *names_collect(const struct config *config, uint32_t *count)
{
	struct name_entry *list;

	*count = config->advertise_name_count;
	for (uint32_t i = 0; i < config->static_host_count; i++)
		*count += config->static_hosts[i].name_count;
	list = calloc(*count + 1, sizeof(*list));
	*count = 0;
	for (uint32_t i = 0; list && i < config->advertise_name_count; i++)
		list[(*count)++] = (struct name_entry){.text = config->advertise_names[i].text,
						       .port = config->advertise_names[i].port};
	for (uint32_t i = 0; list && i < config->static_host_count; i++) {
		const struct static_host *host = &config->static_hosts[i];

		for (uint32_t j = 0; j < host->name_count; j++)
			list[(*count)++] = (struct name_entry){host->names[j].text,
							       host->names[j].port, host->overlay};
	}
	return list;
}

int generation_node_options(struct generation *generation, struct node_options *options)
{
	const struct config *config = generation->config;

	*options = (struct node_options){
		.cipher = config->cipher,
		.queues = config->routines,
		.try_interval_ns = config->handshakes.try_interval_ns,
		.retries = config->handshakes.retries,
		.accept_recv_error = config->listen.accept_recv_error,
		.disconnect_invalid = config->pki.disconnect_invalid,
		.alive_interval_ns = config->tunnels.alive_interval_ns,
		.deletion_interval_ns = config->tunnels.deletion_interval_ns,
		.drop_inactive = config->tunnels.drop_inactive,
		.inactivity_ns = config->tunnels.inactivity_ns,
		.try_promote = config->tunnels.try_promote,
		.requery_every = config->tunnels.requery_every,
		.requery_wait_ns = config->tunnels.requery_wait_ns,
		.punch = config->punchy.punch,
		.punch_all = config->punchy.target_all_remotes,
		.static_hosts = static_hosts_collect(config),
		.static_host_count = config->static_host_count,
		.lighthouse = config->lighthouse,
		.relay = config->relay,
		.names = {.cadence_ns = config->static_map.cadence_ns,
			  .timeout_ns = config->static_map.lookup_timeout_ns,
			  .network = config->static_map.network},
		.rules_for_peer = peer_rules_build,
		.rules_context = generation,
	};
	options->names.list = names_collect(config, &options->names.count);
	return options->static_hosts && options->names.list ? 0 : -ENOMEM;
}

void generation_release(struct node_options *options)
{
	free((void *)options->static_hosts);
	free((void *)options->names.list);
	options->static_hosts = NULL;
	options->names.list = NULL;
}

/* --- the sockets -----------------------------------------------------------------------------
 */

struct udp_options generation_udp(const struct generation *generation)
{
	const struct config *config = generation->config;

	return (struct udp_options){
		.host = config->listen.host,
		.port = config->listen.port,
		.queues = config->routines,
		.read_buffer = config->listen.read_buffer,
		.write_buffer = config->listen.write_buffer,
		.mark = config->listen.so_mark,
		.offloads = config->listen.udp_offloads,
		.single = config->listen.batch <= 1,
		.spread = config->spread_flows,
	};
}
