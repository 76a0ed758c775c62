/*
 * admin_commands.h - what m57ctl may ask and tell: one table of commands (PROTOCOL.md 10.2), their
 * arguments, and what they answer with. Control thread only.
 */
#ifndef M57_ADMIN_COMMANDS_H
#define M57_ADMIN_COMMANDS_H

#include <jansson.h>

#include "config/config.h"
#include "control.h"
#include "identity/pki.h"
#include "peers/node_query.h"
#include "reload.h"

/* What commands look at. dataplane, node and counters are control's; a reload sets anew what comes
 * of the configuration. */
struct admin_world {
	struct control *control;
	const struct config *config;
	const struct pki *pki;
	const struct findings *findings; /* may be NULL */
	uint16_t rules_version;          /* of the published snapshot */
	struct reload *reload;           /* NULL: cannot reload */
	const char *device;              /* "" with tun.disabled */
	const char *offloads;            /* as in the log: "tun tso,uso, udp gso,gro" */
	enum io_tier tier;
	bool sparse; /* the last queue has the sparse flows */
	struct endpoint bound;
	uint64_t started_ns; /* monotonic */
};

#define ADMIN_POSITIONALS_MAX 4

/* The arguments of one request, as its command takes them. Strings are borrowed. */
struct admin_arguments {
	const char *address; /* -address */
	const char *after;   /* -after */
	bool local_only;     /* -local-only */
	bool raw;            /* -raw */
	int count;
	char *positional[ADMIN_POSITIONALS_MAX];
};

enum admin_flag {
	ADMIN_ADDRESS = 1,
	ADMIN_AFTER = 2,
	ADMIN_LOCAL_ONLY = 4,
	ADMIN_RAW = 8,
	ADMIN_CHANGES = 16, /* no flag of the line: what it does to tunnels is told in the log */
};

/* The result, or NULL with one line in error (empty: no memory). */
typedef json_t *admin_run_fn(struct admin_world *world, const struct admin_arguments *arguments,
			     char error[ERROR_LINE_MAX]);

struct admin_command {
	const char *name;
	const char *arguments; /* for help, "" for none */
	const char *description;
	unsigned flags;  /* enum admin_flag */
	int least, most; /* positional arguments */
	admin_run_fn *run;
};

extern const struct admin_command admin_commands[];
extern const size_t admin_commands_count;

/* admin_answer_fn; context is a struct admin_world. */
json_t *admin_answer(void *context, const char *line, size_t length);

/* --- admin_json.c: the objects of answers. Each is new, and the caller's; NULL: no memory --- */

json_t *admin_text_addr(const struct addr *addr);
json_t *admin_text_endpoint(const struct endpoint *endpoint);
json_t *admin_seconds(uint64_t ns); /* null for NODE_NEVER */
/* As `m57-cert print -json` (PROTOCOL.md 3.8), times in UTC. */
json_t *admin_cert(const struct cert *cert);
/* A host object (10.2) of tunnel i of the host, with our own members beside Nebula's. */
json_t *admin_host(struct node *node, const struct addr *addr, uint32_t i);
/* Relay entry i of the host's tunnels (10.2, one object each), or NULL. */
json_t *admin_relay(struct node *node, const struct addr *addr, uint32_t i);
/* The same as admin_host of a handshake that we began. */
json_t *admin_pending(struct node *node, const struct addr *addr);
/* {"owner": {"learned": [], "reported": [], "relay": []}}, the form of list-lighthouse-addrmap. */
json_t *admin_addrmap(struct node *node, const struct addr *addr);
/* Whole days from now_s (unix time) until the certificate ends; below 0: it has ended. */
int64_t admin_days_left(const struct cert *cert, int64_t now_s);

/* --- admin_status.c: this node --- */

admin_run_fn admin_run_version;
admin_run_fn admin_run_status;
admin_run_fn admin_run_drops;
admin_run_fn admin_run_counters;
admin_run_fn admin_run_queues;
admin_run_fn admin_run_log_level;
admin_run_fn admin_run_device_info;

admin_run_fn admin_run_reload;

/* --- admin_hosts.c: hosts and tunnels --- */

admin_run_fn admin_run_list_hostmap;
admin_run_fn admin_run_list_pending;
admin_run_fn admin_run_list_addrmap;
admin_run_fn admin_run_query;
admin_run_fn admin_run_print_relays;
admin_run_fn admin_run_print_tunnel;
admin_run_fn admin_run_print_cert;
admin_run_fn admin_run_create;
admin_run_fn admin_run_close;
admin_run_fn admin_run_change_remote;

/* --- admin_refused.c --- */

admin_run_fn admin_run_refused;

/* --- admin_why.c --- */

admin_run_fn admin_why;

#endif
