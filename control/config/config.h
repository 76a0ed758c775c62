/*
 * config.h - one configuration: read, merged, checked, typed; immutable afterwards
 * (PROTOCOL.md 9).
 *
 * The road: yaml.c makes a tree of each file, yaml_merge.c makes one tree of several, keys.c
 * compares it with the table keys.def (unknown keys, keys without effect, types), config.c fills
 * this structure. check.c adds what only certificate and key can tell. A reload builds the next one
 * and swaps.
 *
 * Every time is in nanoseconds unless its name says otherwise. Strings and arrays belong to the
 * configuration and die with it.
 */
#ifndef M57_CONFIG_H
#define M57_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "aead.h"
#include "config/finding.h"
#include "config/rules.h"
#include "dns_options.h"
#include "limits.h"
#include "log.h"
#include "peers/lighthouse_options.h"
#include "peers/name_options.h"
#include "peers/relay_options.h"
#include "route.h"
#include "snapshot.h" /* enum recv_error_policy */

/* A text and where it stands. text is NULL when the key is absent. */
struct config_text {
	const char *text;
	struct where where;
};

/* A host name with a port, of static_host_map or lighthouse.advertise_addrs. */
struct config_name {
	const char *text;
	uint16_t port;
	struct where where;
};

/* One entry of static_host_map. */
struct static_host {
	struct addr overlay;
	struct where where;
	uint32_t remote_count;
	struct endpoint remotes[STATIC_REMOTES_MAX];
	uint32_t name_count; /* looked up while the node runs */
	struct config_name names[STATIC_NAMES_MAX];
};

/* One entry of tun.routes: a part of our own networks with its own MTU. */
struct config_route {
	struct prefix to; /* masked */
	uint32_t mtu;     /* bytes */
	struct where where;
};

/* One entry of tun.unsafe_routes. */
struct config_unsafe_route {
	struct prefix to;       /* masked */
	uint32_t gateway_count; /* 1..GATEWAYS_MAX */
	struct gateway *gateways;
	uint32_t mtu;    /* bytes; 0: the device's */
	uint32_t metric; /* 0: the kernel's default */
	bool install;    /* into the kernel's routing table too */
	struct where where;
};

enum firewall_action { FIREWALL_DROP, FIREWALL_REJECT };

struct config {
	struct {
		struct config_text ca, cert,
			key; /* path, or PEM text with "-----BEGIN"; key: secure memory */
		uint32_t blocklist_count;
		struct config_text *blocklist; /* fingerprints in hex */
		bool disconnect_invalid;
	} pki;

	enum aead_cipher cipher;
	uint32_t static_host_count;
	struct static_host *static_hosts;
	struct {
		uint64_t cadence_ns, lookup_timeout_ns;
		enum name_network network;
	} static_map;
	struct where lighthouses_where; /* lighthouse.hosts */
	struct where advertise_where;   /* lighthouse.advertise_addrs */
	uint32_t advertise_name_count;  /* the host names of lighthouse.advertise_addrs */
	struct config_name advertise_names[ADVERTISE_ADDRS_MAX];
	uint32_t routines; /* 1..QUEUES_MAX, resolved as PROTOCOL.md 9.3 */

	struct {
		const char *host; /* address or host name, "0.0.0.0" by default; "[::]" is given as
				     "::" */
		struct where host_where;
		uint16_t port; /* 0: the kernel chooses */
		struct where port_where;
		uint32_t batch;                     /* 1: no UDP GRO */
		uint32_t read_buffer, write_buffer; /* bytes; 0: UDP_*_BUFFER_DEFAULT */
		uint32_t so_mark;                   /* 0: none */
		bool udp_offloads;
		enum recv_error_policy send_recv_error, accept_recv_error;
	} listen;

	struct {
		bool disabled;
		const char *dev; /* "": the kernel chooses a name */
		struct where dev_where;
		uint32_t mtu;      /* bytes, at most TUN_MTU_MAX */
		uint32_t tx_queue; /* packets */
		bool drop_local_broadcast, drop_multicast;
		bool use_offloads;
		bool pin_threads; /* resolved: false with one routine, or where not worth it */
		uint32_t cpu_affinity_count; /* at most QUEUES_MAX; 0: the node chooses */
		uint32_t *cpu_affinity;      /* CPUs that this process may run on */
		uint32_t route_count;
		struct config_route *routes;
		uint32_t unsafe_route_count;
		struct config_unsafe_route *unsafe_routes;
		bool use_system_routes;        /* tun.use_system_route_table */
		uint32_t system_routes_buffer; /* bytes of its socket's buffer; 0 leaves the
						  system's */
	} tun;

	struct dns_options dns; /* lighthouse.serve_dns and lighthouse.dns.* */
	struct where dns_where; /* what says where it listens, or that it does */
	/* lighthouse.*, preferred_ranges, punchy.*; arrays are the configuration's */
	struct lighthouse_options lighthouse;
	struct relay_options relay; /* relay.* */
	struct where relays_where;  /* relay.relays */

	struct {
		uint64_t try_interval_ns;
		uint32_t retries;
	} handshakes;

	struct {
		uint64_t alive_interval_ns, deletion_interval_ns; /* timers.* */
		bool drop_inactive;
		uint64_t inactivity_ns;
		uint32_t try_promote, requery_every; /* counters.*; packets, 0: never */
		uint64_t requery_wait_ns;            /* timers.requery_wait_duration */
	} tunnels;

	struct {
		bool punch, target_all_remotes;
	} punchy;

	struct {
		struct firewall_rules rules[2]; /* by enum direction */
		bool default_local_cidr_any;
		enum firewall_action action[2]; /* by enum direction */
		uint32_t tcp_timeout_s, udp_timeout_s, default_timeout_s;
	} firewall;

	struct log_options logging;
	bool allow_incomplete; /* m57.allow_incomplete */
	bool spread_flows;     /* m57.spread_flows */
	bool sparse_queue;     /* m57.sparse_queue; with routines: 1 */
	uint32_t busy_poll_us; /* m57.busy_poll */

	struct {
		bool off;
		const char *path; /* NULL: the default, after the tun device */
		struct where where;
	} ctl; /* m57.ctl */

	const struct yaml_node *tree; /* as it was read: for config_changes() */
	struct config_memory *memory; /* config.c only */
};

/*
 * Reads the file or directory at path. findings collects every error and warning. Returns the
 * configuration even when there are errors, as complete as it could be read, so that further
 * checks can go on; it may be used only if findings->errors is 0. NULL when nothing could be read
 * (no file, not YAML), with the reason in findings.
 */
struct config *config_load(const char *path, struct findings *findings);

/* Wipes the text of pki.key, which may be the key itself; pki.key.text is NULL from then on. */
void config_forget_key(struct config *config);

/* Frees everything; the private key and all other texts are wiped. NULL is allowed. */
void config_free(struct config *config);

#endif
