/*
 * daemon.c - see daemon.h.
 *
 * Order of the start: what needs no privilege and leaves no trace comes first (kernel tier, rings,
 * tables), then the socket, then the tun, then the workers; READY=1 when the last worker runs.
 * daemon_close() undoes whatever was made, from any point on.
 */
#include "daemon.h"

#include <errno.h>
#include <linux/limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "addr_text.h"
#include "admin_commands.h"
#include "config/snapshot_build.h"
#include "control.h"
#include "dns.h"
#include "log.h"
#include "reload.h"
#include "routes.h"
#include "system/cpu_topology.h"
#include "system/local_addrs.h"
#include "system/notify.h"
#include "system/resolver.h"
#include "system/signals.h"
#include "system/sparse.h"
#include "system/tun_setup.h"
#include "system/udp_setup.h"

#define RULES_VERSION_FIRST 1
#define CTL_PATH_DEFAULT    "/run/m57/%s.sock" /* of the tun device */

struct daemon {
	struct reload reload; /* holds the configuration in use */
	enum io_tier tier;
	struct tun_device tun;
	struct udp_sockets udp;
	int sparse_program;        /* for the tun; -1: sparse flows have no queue of their own */
	struct snapshot *snapshot; /* until it is published, and again once the workers are gone */
	struct control control;
	bool has_control, has_signals;
	struct admin_world world; /* what m57ctl looks at */
	char offloads[64];
};

static const struct config *config_of(const struct daemon *daemon)
{
	return daemon->reload.now->config;
}

static int fail(const char *error)
{
	log_error(error);
	return -EIO;
}

/* With the line of the key that it is about, when the key is there. */
static int fail_at(const char *error, struct where where)
{
	char place[FINDING_PLACE_MAX];

	if (!where.file || !where.line)
		return fail(error);
	log_error(error, LOG_STR("config", where_text(where, place)));
	return -EIO;
}

static int fail_errno(const char *what, int failure)
{
	log_error(what, LOG_STR("error", strerror(failure)));
	return -failure;
}

/* --- the parts, in the order they are made -----------------------------------------------------
 */

/*
 * Where there are several routines their workers share out all flows, and a flow seldom has one to
 * itself; so the queue of sparse flows is for a single routine, as is Nebula's default.
 */
static int sparse_choose(struct daemon *daemon)
{
	const struct config *config = config_of(daemon);
	char error[ERROR_LINE_MAX] = "";
	uint64_t key[2];
	int one;

	if (!config->sparse_queue || config->routines != 1 || config->tun.disabled)
		return 0;
	one = tun_has_one_queue(config->tun.dev, error);
	if (one < 0)
		return fail_at(error, config->tun.dev_where);
	if (one) {
		log_warning(
			"Flows that send little wait with the others: the tun device was made "
			"with one queue; make it with ip tuntap add dev NAME mode tun multi_queue",
			LOG_STR("dev", config->tun.dev));
		return 0;
	}
	randombytes_buf(key, sizeof(key));
	daemon->sparse_program = sparse_program_load(&sparse_share_default, key);
	if (daemon->sparse_program < 0)
		log_info("Flows that send little wait with the others: the kernel takes no program "
			 "from us; run with CAP_BPF",
			 LOG_STR("error", strerror(-daemon->sparse_program)));
	return 0;
}

static int tables_make(struct daemon *daemon)
{
	struct control *control = &daemon->control;
	char error[ERROR_LINE_MAX] = "";
	bool locked = false, failed;
	int fd;

	aead_select();
	daemon->tier = dataplane_probe_tier(error);
	if (daemon->tier == IO_TIER_NONE)
		return fail(error);
	fd = signals_open();
	if (fd < 0)
		return fail_errno("Cannot receive signals", -fd);
	control->signal_fd = fd;
	daemon->has_signals = true;
	signals_end_at_once(true); /* a device that another has is waited for */
	failed = sparse_choose(daemon) != 0;
	signals_end_at_once(false);
	if (failed)
		return -EIO;
	if (control_init(control, config_of(daemon)->routines + (daemon->sparse_program >= 0),
			 error) != 0)
		return fail(error);
	daemon->has_control = true;
	control->map = hostmap_create(&locked);
	if (!control->map)
		return fail_errno("Cannot make the tunnel tables", ENOMEM);
	if (!locked)
		log_warning("Tunnel keys could not be locked in memory and may reach the swap; "
			    "raise the "
			    "limit of locked memory (ulimit -l)");
	control->reaper = reaper_start();
	if (!control->reaper)
		return fail_errno("Cannot start a thread", errno);
	return 0;
}

static int sockets_make(struct daemon *daemon)
{
	const struct config *config = config_of(daemon);
	struct udp_options options = generation_udp(daemon->reload.now);
	char error[ERROR_LINE_MAX] = "";

	options.sparse = daemon->sparse_program >= 0;
	options.queues += options.sparse;
	if (udp_open(&daemon->udp, &options, error) != 0)
		return fail_at(error, strstr(error, "listen.port") ? config->listen.port_where
								   : config->listen.host_where);
	daemon->control.udp_fd = daemon->udp.fds[0];
	daemon->control.steering = daemon->udp.steering;
	daemon->control.udp_v6 = daemon->udp.v6;
	daemon->control.queues = daemon->udp.queues;
	/* The kernel reports twice what it was asked for; half counts as what an operator asked. */
	if ((options.read_buffer && daemon->udp.read_buffer / 2 < options.read_buffer) ||
	    (options.write_buffer && daemon->udp.write_buffer / 2 < options.write_buffer))
		log_warning("The kernel granted smaller socket buffers than listen.read_buffer and "
			    "listen.write_buffer ask for",
			    LOG_U64("readBuffer", daemon->udp.read_buffer),
			    LOG_U64("writeBuffer", daemon->udp.write_buffer));
	return 0;
}

static int tun_make(struct daemon *daemon)
{
	const struct config *config = config_of(daemon);
	struct tun_options options = {.name = config->tun.dev,
				      .queues = daemon->udp.queues,
				      .offloads = config->tun.use_offloads,
				      .program =
					      daemon->udp.sparse ? &daemon->sparse_program : NULL};
	char error[ERROR_LINE_MAX] = "";

	if (config->tun.disabled)
		return 0;
	if (tun_open(&daemon->tun, &options, error) != 0)
		return fail_at(error, config->tun.dev_where);
	return 0;
}

/* Both ends of the packet's road. A dead name server, or a device that another has, takes
 * seconds: whoever ends the start meanwhile does not wait for it. */
static int ends_make(struct daemon *daemon)
{
	bool made;

	signals_end_at_once(true);
	made = sockets_make(daemon) == 0 && tun_make(daemon) == 0;
	signals_end_at_once(false);
	return made ? 0 : -EIO;
}

/* Addresses and routes of the device. */
static int routes_make(struct daemon *daemon)
{
	char error[ERROR_LINE_MAX] = "";

	struct routes *routes = routes_create(daemon->tun.name, daemon->tun.index, daemon->tun.tso);

	daemon->control.routes = routes;
	if (!routes)
		return fail_errno("Cannot make the routes", ENOMEM);
	if (routes_install(routes, config_of(daemon), pki_own_cert(&daemon->reload.now->pki),
			   error) != 0)
		return fail(error);
	return 0;
}

static size_t local_addrs(void *context, struct local_addr *list, size_t most)
{
	return local_addrs_dump(list, most);
}

static void dns_warn(const struct daemon *daemon, const char *error)
{
	char place[FINDING_PLACE_MAX];

	log_warning(error, LOG_STR("config", where_text(config_of(daemon)->dns_where, place)));
}

static void name_found(void *context, uint32_t id, const struct name_answer *answer)
{
	const struct daemon *daemon = context;
	char error[ERROR_LINE_MAX] = "";

	if (id != DNS_LOOKUP_ID)
		node_on_name(daemon->control.node, id, answer);
	else if (dns_found(daemon->control.dns, answer->outcome, answer->addrs, answer->count,
			   error) != 0)
		dns_warn(daemon, error);
}

static int node_make(struct daemon *daemon)
{
	struct control *control = &daemon->control;
	struct node_options options;

	control->resolver = resolver_open(name_found, daemon);
	if (!control->resolver)
		log_warning("Host names cannot be looked up", LOG_STR("error", strerror(errno)));
	if (generation_node_options(daemon->reload.now, &options) == 0) {
		options.workers = daemon->udp.queues;
		options.udp_v6 = daemon->udp.v6;
		options.udp_port = daemon->udp.bound.port;
		options.local_addrs = local_addrs;
		control->node = node_create(&options, &daemon->reload.now->pki, control->map,
					    &control->outside);
	}
	generation_release(&options);
	/* Without it a change of address waits for the next update. */
	control->addrs_fd = local_addrs_watch();
	return control->node ? 0 : fail_errno("Cannot make the node", ENOMEM);
}

static const char *tun_offloads_text(const struct daemon *daemon)
{
	return daemon->tun.uso ? "tso,uso" : daemon->tun.tso ? "tso" : "none";
}

static const char *udp_offloads_text(const struct daemon *daemon)
{
	return daemon->udp.gso && daemon->udp.gro ? "gso,gro" : daemon->udp.gso ? "gso" : "none";
}

/* The CPU of each worker into cpus, any for that of sparse flows; false: they are not pinned. */
static bool cpus_choose(const struct daemon *daemon, int cpus[QUEUES_MAX])
{
	const struct config *config = config_of(daemon);
	struct cpu_topology *topology;
	int result;

	for (uint32_t i = 0; i < QUEUES_MAX; i++)
		cpus[i] = -1;
	if (!config->tun.pin_threads)
		return false;
	if (config->tun.cpu_affinity_count > 0) {
		for (uint32_t i = 0; i < config->routines; i++)
			cpus[i] = (int)config->tun.cpu_affinity[i % config->tun.cpu_affinity_count];
		return true;
	}
	topology = cpu_topology_read();
	if (!topology)
		return false;
	result = cpu_pick(topology, config->routines, daemon->udp.bound.port, cpus);
	free(topology);
	return result == 0;
}

static void pinning_log(const struct daemon *daemon, const int *cpus, bool chosen)
{
	uint32_t routines = config_of(daemon)->routines;
	uint32_t pinned = dataplane_pinned(daemon->control.dataplane);
	char text[QUEUES_MAX * sizeof("4095")] = "";

	for (uint32_t i = 0, used = 0; chosen && i < routines; i++)
		used += (uint32_t)snprintf(text + used, sizeof(text) - used, "%s%d", i ? " " : "",
					   cpus[i]);
	if (chosen && pinned == routines)
		log_info("Workers stay on their CPUs", LOG_STR("cpus", text));
	else if (chosen)
		log_warning("Workers could not be pinned to their CPUs and run on any",
			    LOG_STR("cpus", text), LOG_U64("pinned", pinned));
	else if (config_of(daemon)->tun.pin_threads)
		log_info("More routines than CPUs: the system places the workers",
			 LOG_U64("routines", routines));
}

static int dataplane_make(struct daemon *daemon)
{
	int cpus[QUEUES_MAX];
	bool chosen = cpus_choose(daemon, cpus);
	struct dataplane_options options = {
		.queues = daemon->udp.queues,
		.sparse = daemon->udp.sparse,
		.tun_fds = config_of(daemon)->tun.disabled ? NULL : daemon->tun.fds,
		.udp_fds = daemon->udp.fds,
		.udp_v6 = daemon->udp.v6,
		.tun_tso = daemon->tun.tso,
		.tun_uso = daemon->tun.uso,
		.tun_vnet_hdr = daemon->tun.vnet_hdr,
		.udp_offloads = daemon->udp.gso,
		.control_ring_fd = control_ring_fd(&daemon->control),
		.map = daemon->control.map,
		.tier = daemon->tier,
		.cpus = chosen ? cpus : NULL,
		.spread_flows = config_of(daemon)->spread_flows,
		.busy_poll_us = config_of(daemon)->busy_poll_us,
	};
	char error[ERROR_LINE_MAX] = "";
	int result;

	daemon->snapshot = snapshot_build(config_of(daemon), pki_own_cert(&daemon->reload.now->pki),
					  RULES_VERSION_FIRST);
	if (!daemon->snapshot)
		return fail_errno("Cannot build the firewall and routes", ENOMEM);
	daemon->control.dataplane = dataplane_create(&options, error);
	if (!daemon->control.dataplane)
		return fail(error);
	dataplane_publish(daemon->control.dataplane, daemon->snapshot);
	daemon->snapshot = NULL;
	kernel_drops_begin(&daemon->control.kernel, daemon->udp.fds, daemon->udp.queues,
			   daemon->tun.index);
	result = dataplane_start(daemon->control.dataplane);
	if (result == 0)
		pinning_log(daemon, cpus, chosen);
	return result ? fail_errno("Cannot start the workers", -result) : 0;
}

/* A lighthouse whose DNS port is taken works all the same. */
static void dns_make(struct daemon *daemon)
{
	char error[ERROR_LINE_MAX] = "";

	if (!config_of(daemon)->lighthouse.am_lighthouse)
		return;
	daemon->control.dns = dns_create(daemon->control.resolver);
	if (!daemon->control.dns)
		log_warning("No DNS answers are given", LOG_STR("error", strerror(errno)));
	else if (dns_reconfigure(daemon->control.dns, &config_of(daemon)->dns, error) != 0)
		dns_warn(daemon, error);
}

/* A socket for m57ctl. Without one the node works all the same, so that is a warning. */
static void admin_make(struct daemon *daemon)
{
	const struct config *config = config_of(daemon);
	struct control *control = &daemon->control;
	const char *device = config->tun.disabled ? "" : daemon->tun.name;
	char error[ERROR_LINE_MAX] = "", path[PATH_MAX];

	if (config->ctl.off)
		return;
	snprintf(path, sizeof(path), CTL_PATH_DEFAULT, device[0] ? device : "disabled");
	snprintf(daemon->offloads, sizeof(daemon->offloads), "tun %s, udp %s",
		 tun_offloads_text(daemon), udp_offloads_text(daemon));
	daemon->world = (struct admin_world){
		.control = control,
		.config = config,
		.pki = &daemon->reload.now->pki,
		.findings = &daemon->reload.now->findings,
		.rules_version = RULES_VERSION_FIRST,
		.reload = &daemon->reload,
		.device = device,
		.offloads = daemon->offloads,
		.tier = daemon->tier,
		.sparse = daemon->udp.sparse,
		.bound = daemon->udp.bound,
		.started_ns = control->outside.now_ns(control),
	};
	control->admin = admin_open(config->ctl.path ? config->ctl.path : path, admin_answer,
				    &daemon->world, error);
	if (!control->admin)
		log_warning(error);
}

/* --- what is said ------------------------------------------------------------------------------
 */

static void networks_text(const struct cert *own, char *text, size_t size)
{
	char one[PREFIX_TEXT_MAX];
	size_t used = 0;

	text[0] = '\0';
	for (uint16_t i = 0; i < own->network_count && used + PREFIX_TEXT_MAX + 2 < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%s", i ? " " : "",
					 prefix_format(&own->networks[i], one));
}

/* Every worker runs: the node works. */
static void ready(struct control *control)
{
	struct daemon *daemon = control->context;
	const struct aead_backend *aead = aead_chosen(config_of(daemon)->cipher);
	char networks[8 * PREFIX_TEXT_MAX];

	networks_text(pki_own_cert(&daemon->reload.now->pki), networks, sizeof(networks));
	log_info("Nebula interface is active",
		 LOG_STR("interface",
			 config_of(daemon)->tun.disabled ? "disabled" : daemon->tun.name),
		 LOG_STR("networks", networks), LOG_STR("build", M57_VERSION),
		 LOG_ENDPOINT("udpAddr", &daemon->udp.bound),
		 LOG_U64("routines", config_of(daemon)->routines),
		 LOG_STR("sparseQueue", daemon->udp.sparse ? "yes" : "no"),
		 LOG_STR("ioUring", dataplane_tier_name(daemon->tier)), LOG_STR("aead", aead->name),
		 LOG_STR("aeadArchitecture", aead->architecture),
		 LOG_U64("aeadMegabytesPerSecond", aead_chosen_speed(config_of(daemon)->cipher)),
		 LOG_STR("tunOffloads", tun_offloads_text(daemon)),
		 LOG_STR("udpOffloads", udp_offloads_text(daemon)),
		 LOG_U64("readBuffer", daemon->udp.read_buffer),
		 LOG_U64("writeBuffer", daemon->udp.write_buffer));

	int result = notify_send("READY=1");

	if (result)
		log_warning("Cannot tell the service manager that the node is ready",
			    LOG_STR("error", strerror(-result)));
}

static void started_log(const struct daemon *daemon)
{
	char hash[RULES_HASH_TEXT_MAX];

	log_info("Firewall started",
		 LOG_STR("firewallHashes", rules_hash(config_of(daemon)->firewall.rules, hash)));
	if (config_of(daemon)->routines > 1)
		log_info("Using multiple routines",
			 LOG_U64("routines", config_of(daemon)->routines),
			 LOG_STR("steering", steering_name(daemon->udp.steering)),
			 LOG_STR("spreadFlows", config_of(daemon)->spread_flows ? "yes" : "no"));
	if (daemon->udp.steer_error && config_of(daemon)->routines == 1)
		log_info("Flows that send little wait with the others: no program may be attached "
			 "to the sockets; run with CAP_NET_ADMIN",
			 LOG_STR("error", strerror(-daemon->udp.steer_error)));
	else if (daemon->udp.steer_error)
		log_warning("No program may be attached to the sockets: the kernel chooses one for "
			    "each peer by its addresses, and workers share out its flows if "
			    "m57.spread_flows is on; run with CAP_NET_ADMIN",
			    LOG_STR("error", strerror(-daemon->udp.steer_error)));
}

/* --- the end -----------------------------------------------------------------------------------
 */

/* No reader is left, so garbage needs no grace period any more. */
static void garbage_release_all(struct control *control)
{
	struct garbage *batch;

	if (control->reaper) {
		batch = reaper_stop(control->reaper);
		if (batch)
			hostmap_garbage_release(control->map, batch);
	}
	while ((batch = hostmap_garbage_take(control->map)) != NULL)
		hostmap_garbage_release(control->map, batch);
}

static void daemon_close(struct daemon *daemon)
{
	struct control *control = &daemon->control;

	admin_close(control->admin);
	control->admin = NULL;
	if (control->dataplane) {
		struct stats stats;

		dataplane_stop(control->dataplane);
		control_drain(control);
		control_stats(control, &stats);
		stats_log(&stats, &control->outside, false);
		daemon->snapshot = dataplane_publish(control->dataplane, NULL);
		dataplane_destroy(control->dataplane);
		control->dataplane = NULL; /* the node's last orders find nobody */
	}
	snapshot_free(daemon->snapshot);
	node_destroy(control->node);
	resolver_close(control->resolver);
	dns_destroy(control->dns);
	if (control->map) {
		garbage_release_all(control);
		hostmap_destroy(control->map);
	}
	routes_destroy(control->routes);
	tun_close(&daemon->tun);
	if (daemon->sparse_program >= 0)
		close(daemon->sparse_program);
	udp_close(&daemon->udp);
	if (daemon->has_control)
		control_close(control);
	if (daemon->has_signals)
		close(control->signal_fd);
	if (control->addrs_fd >= 0)
		close(control->addrs_fd);
}

static void on_reload(struct control *control)
{
	struct daemon *daemon = control->context;

	(void)reload_run(&daemon->reload);
}

int daemon_run(struct generation *generation, const char *path, bool strict)
{
	struct daemon *daemon = calloc(1, sizeof(*daemon));
	int status = 1;

	if (!daemon) {
		fail_errno("Cannot start", ENOMEM);
		generation_free(generation);
		return status;
	}
	generation->rules_version = RULES_VERSION_FIRST;
	daemon->reload = (struct reload){
		.control = &daemon->control,
		.path = path,
		.strict = strict,
		.udp = &daemon->udp,
		.world = &daemon->world,
		.started = generation->config,
		.now = generation,
	};
	daemon->control.on_ready = ready;
	daemon->control.on_reload = on_reload;
	daemon->control.context = daemon;
	daemon->control.addrs_fd = -1;
	daemon->sparse_program = -1;

	if (tables_make(daemon) == 0 && ends_make(daemon) == 0 && routes_make(daemon) == 0 &&
	    node_make(daemon) == 0 && dataplane_make(daemon) == 0) {
		started_log(daemon);
		admin_make(daemon);
		dns_make(daemon);
		status = control_run(&daemon->control);
	}
	daemon_close(daemon);
	reload_release(&daemon->reload);
	free(daemon);
	if (status == 0)
		log_info("Goodbye");
	return status;
}
