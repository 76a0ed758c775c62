/* admin_refused.c - m57ctl list-refused: the flows that the workers refused last. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "admin_commands.h"

static int newer_first(const void *a, const void *b)
{
	const struct refusal *x = a, *y = b;

	return x->last_ns < y->last_ns ? 1 : x->last_ns > y->last_ns ? -1 : 0;
}

static bool has_ports(const struct flow *flow)
{
	return (flow->protocol == IPPROTO_TCP || flow->protocol == IPPROTO_UDP) && !flow->fragment;
}

static json_t *text_protocol(const struct flow *flow)
{
	const char *fragment = flow->fragment ? " fragment" : "";

	switch (flow->protocol) {
	case IPPROTO_TCP:
		return json_sprintf("tcp%s", fragment);
	case IPPROTO_UDP:
		return json_sprintf("udp%s", fragment);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return json_sprintf("icmp%s", fragment);
	default:
		return json_sprintf("%d%s", flow->protocol, fragment);
	}
}

static json_t *text_side(const struct flow *flow, const struct addr *addr, uint16_t port)
{
	struct endpoint endpoint = {.addr = *addr, .port = port};

	return has_ports(flow) ? admin_text_endpoint(&endpoint) : admin_text_addr(addr);
}

/* The name in the certificate of the host that has this address; "" for one behind a gateway. */
static json_t *text_peer(const struct admin_world *world, const struct addr *addr)
{
	struct node_tunnel_view view;
	bool known = node_query_tunnel(world->control->node, addr, 0, &view) && view.cert;

	return json_string(known ? view.cert->name : "");
}

static json_t *refusal_row(const struct admin_world *world, const struct refusal *refusal,
			   uint64_t now_ns)
{
	const struct flow *flow = &refusal->flow;
	uint64_t ago_ns = now_ns > refusal->last_ns ? now_ns - refusal->last_ns : 0;

	return json_pack("{s:s,s:o,s:o,s:o,s:o,s:s,s:I,s:o}", "direction",
			 refusal->direction == INBOUND ? "in" : "out", "protocol",
			 text_protocol(flow), "remote",
			 text_side(flow, &flow->remote, flow->remote_port), "local",
			 text_side(flow, &flow->local, flow->local_port), "peer",
			 text_peer(world, &flow->remote), "reason", drop_metrics[refusal->reason],
			 "times", (json_int_t)refusal->times, "agoSeconds", admin_seconds(ago_ns));
}

json_t *admin_run_refused(struct admin_world *world, const struct admin_arguments *arguments,
			  char error[ERROR_LINE_MAX])
{
	struct control *control = world->control;
	struct refusal *list = calloc((size_t)control->queues * REFUSALS_MAX, sizeof(*list));
	uint64_t now_ns = control->outside.now_ns(control);
	json_t *rows = json_array();
	size_t count = 0;

	if (!list) {
		json_decref(rows);
		return NULL;
	}
	for (uint32_t queue = 0; queue < control->queues; queue++)
		count += dataplane_read_refusals(control->dataplane, queue, list + count);
	qsort(list, count, sizeof(*list), newer_first);
	for (size_t i = 0; i < count; i++)
		json_array_append_new(rows, refusal_row(world, &list[i], now_ns));
	free(list);
	return rows;
}
