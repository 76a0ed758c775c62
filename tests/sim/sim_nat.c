/* sim_nat.c - NATs of the usual kinds before simulated nodes, and nodes that move. */
#include "sim.h"

#define NAT_PORT_BASE 20000

void sim_behind(struct sim_node *node, enum sim_nat_kind kind, uint64_t timeout_ns)
{
	node->nat = (struct sim_nat){
		.kind = kind,
		.timeout_ns = timeout_ns,
		.outside = sim_endpoint(100 + node->id, (uint16_t)(NAT_PORT_BASE + node->id)),
		.next_port = (uint16_t)(NAT_PORT_BASE + node->id),
	};
	node->endpoint.addr = addr_from_v4(0x0a010002 + (node->id << 8)); /* 10.1.<id>.2 */
}

void sim_behind_nat(struct sim_node *node)
{
	sim_behind(node, NAT_PORT_RESTRICTED, 0);
}

/* Behind a NAT it is the outside that moves; the node itself does only if it is told. */
void sim_move(struct sim_node *node, bool told)
{
	struct addr fresh = addr_from_v4(0xc6336400 + ++node->sim->moves); /* 198.51.100.0 and on */

	if (node->nat.kind != NAT_NONE) {
		node->nat.outside.addr = fresh;
		node->nat.flow_count = 0;
		if (told)
			node->endpoint.addr = addr_from_v4(0x0a020000 + node->sim->moves);
	} else {
		node->endpoint.addr = fresh;
	}
	if (told && node->node)
		node_on_local_addrs(node->node);
}

static void expire(struct sim_node *node)
{
	struct sim_nat *nat = &node->nat;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < nat->flow_count; i++)
		if (!nat->timeout_ns || nat->flows[i].used_ns + nat->timeout_ns > node->sim->now_ns)
			nat->flows[kept++] = nat->flows[i];
	nat->flow_count = kept;
}

/* A full table forgets the flow that was not used for longest. */
static struct sim_flow *new_flow(struct sim_nat *nat)
{
	struct sim_flow *oldest = &nat->flows[0];

	if (nat->flow_count < SIM_FLOWS)
		return &nat->flows[nat->flow_count++];
	for (uint32_t i = 1; i < SIM_FLOWS; i++)
		if (nat->flows[i].used_ns < oldest->used_ns)
			oldest = &nat->flows[i];
	return oldest;
}

struct endpoint sim_nat_out(struct sim_node *node, const struct endpoint *to)
{
	struct sim_nat *nat = &node->nat;
	struct sim_flow *flow = NULL;
	bool has_port;
	uint16_t port;

	expire(node);
	for (uint32_t i = 0; i < nat->flow_count; i++)
		if (endpoint_equal(&nat->flows[i].to, to))
			flow = &nat->flows[i];
	if (!flow) {
		has_port = nat->flow_count > 0 && nat->kind != NAT_SYMMETRIC;
		port = has_port ? nat->flows[0].port : nat->next_port++;
		flow = new_flow(nat);
		*flow = (struct sim_flow){.to = *to, .port = port};
	}
	flow->used_ns = node->sim->now_ns;
	nat->outside.port = flow->port;
	return nat->outside;
}

bool sim_nat_in(struct sim_node *node, const struct endpoint *from, const struct endpoint *to)
{
	struct sim_nat *nat = &node->nat;

	if (!addr_equal(&nat->outside.addr, &to->addr))
		return false;
	expire(node);
	for (uint32_t i = 0; i < nat->flow_count; i++) {
		struct sim_flow *flow = &nat->flows[i];

		if (flow->port != to->port ||
		    (nat->kind == NAT_RESTRICTED && !addr_equal(&flow->to.addr, &from->addr)) ||
		    (nat->kind > NAT_RESTRICTED && !endpoint_equal(&flow->to, from)))
			continue;
		flow->used_ns = node->sim->now_ns;
		return true;
	}
	return false;
}

void sim_cut(struct sim_node *a, struct sim_node *b, bool cut)
{
	a->cut = cut ? a->cut | 1u << (b->id - 1) : a->cut & ~(1u << (b->id - 1));
	b->cut = cut ? b->cut | 1u << (a->id - 1) : b->cut & ~(1u << (a->id - 1));
}
