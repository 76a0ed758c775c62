/*
 * gateway_road_test.c - flows to a network behind several gateways (PROTOCOL.md 4.2): which tunnel
 * they take while gateways come, fall silent and go.
 *
 * The gateways are 10.0.0.1, 10.0.0.3 and 10.0.0.4, each with a third of the flows, at the same
 * underlay address; the remote index in the header tells tunnels apart. Behind them
 * is 10.0.0.64/26.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "unit/roads/rig.h"

TestSuite(gateway_road, .timeout = 60);

#define GATEWAYS 3

static const struct virtio_net_hdr plain;
static const struct prefix behind = {{{[10] = 0xff, 0xff, 10, 0, 0, 64}}, 96 + 26};
/* Local ports with which a flow to port 53 chooses gateway 0, 1, 2: computed apart. */
static const uint16_t ports[GATEWAYS] = {40003, 40001, 40000};

struct gateways {
	struct rig *rig;
	struct tunnel *tunnels[GATEWAYS]; /* NULL: none yet */
};

static struct addr gateway_addr(uint32_t i)
{
	return addr_from_v4(0x0a000001 + i + (i > 0));
}

static void allow_behind(struct tunnel *tunnel)
{
	tunnel->prefixes = malloc(sizeof(behind));
	*tunnel->prefixes = behind;
	tunnel->prefix_count = 1;
}

/* Only gateway 0 has a tunnel. */
static struct gateways setup_gateways(void)
{
	struct gateway list[GATEWAYS];
	struct route route = {behind, GATEWAYS, list};
	struct gateways g = {.rig = rig_create(true)};

	for (uint32_t i = 0; i < GATEWAYS; i++)
		list[i] = (struct gateway){gateway_addr(i), 1};
	g.rig->snapshot.networks[0].bits = 128;
	g.rig->snapshot.routes = route_table_create(&route, 1);
	g.tunnels[0] = g.rig->tunnel;
	allow_behind(g.tunnels[0]);
	g.rig->w.now_s = 1000;
	return g;
}

static void finish(struct gateways *g)
{
	route_table_destroy(g->rig->snapshot.routes);
	rig_destroy(g->rig);
}

static void gateway_up(struct gateways *g, uint32_t i)
{
	struct addr addr = gateway_addr(i);

	g->tunnels[i] = rig_tunnel(g->rig, i, &addr);
	allow_behind(g->tunnels[i]);
}

static void gateway_gone(struct gateways *g, uint32_t i)
{
	struct addr addr = gateway_addr(i);

	RCU_PUBLISH(hostmap_by_addr(g->rig->map, &addr)->tunnel, NULL);
}

/* Sends one packet of flow i; the gateway whose tunnel it took, or -1. */
static int taken(struct gateways *g, uint32_t flow)
{
	struct packet packet = {.version = 4,
				.protocol = IPPROTO_UDP,
				.source = 2,
				.destination = 70,
				.source_port = ports[flow],
				.dest_port = 53,
				.payload_bytes = 100};
	uint32_t sent = g->rig->io.sent_count, index;
	uint8_t bytes[2000];
	uint32_t length = packet_build(bytes, &packet);

	outbound_run(&g->rig->w, bytes, length, &plain);
	train_close(&g->rig->w);
	if (g->rig->io.sent_count == sent)
		return -1;
	index = wire_remote_index(g->rig->io.sent[sent].bytes);
	return (int)(index - RIG_PEER_INDEX);
}

static uint32_t punted(const struct gateways *g, enum punt_type type, const struct addr *addr)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < g->rig->io.punt_count; i++)
		count += g->rig->io.punts[i]->type == type &&
			 addr_equal(&g->rig->io.punts[i]->addr, addr);
	return count;
}

Test(gateway_road, each_flow_takes_its_gateway)
{
	struct gateways g = setup_gateways();

	gateway_up(&g, 1);
	gateway_up(&g, 2);
	for (uint32_t i = 0; i < GATEWAYS; i++)
		cr_expect_eq(taken(&g, i), (int)i);
	cr_expect_eq(g.rig->io.punt_count, 0);
	finish(&g);
}

Test(gateway_road, a_gateway_without_a_tunnel_is_asked_for_and_another_carries)
{
	struct gateways g = setup_gateways();
	struct addr one = gateway_addr(1), two = gateway_addr(2);

	cr_expect_eq(taken(&g, 0), 0);
	cr_expect_eq(g.rig->io.punt_count, 0, "the others are not needed");
	cr_expect_eq(taken(&g, 1), 0, "1 and 2 have none");
	cr_expect_eq(punted(&g, PUNT_WANTED, &one), 1);
	cr_expect_eq(punted(&g, PUNT_WANTED, &two), 1);
	for (int i = 0; i < 100; i++)
		taken(&g, 1);
	cr_expect_eq(punted(&g, PUNT_WANTED, &one), 1, "once a second");
	g.rig->w.now_s++;
	taken(&g, 1);
	cr_expect_eq(punted(&g, PUNT_WANTED, &one), 2);

	gateway_up(&g, 1);
	cr_expect_eq(taken(&g, 1), 1, "its own as soon as it is there");
	cr_expect_eq(taken(&g, 2), 0, "the next one in the list, which begins again");
	cr_expect_eq(rig_all_drops(g.rig), 0);
	finish(&g);
}

Test(gateway_road, a_silent_gateway_is_passed_over_until_all_are)
{
	struct gateways g = setup_gateways();

	gateway_up(&g, 1);
	gateway_up(&g, 2);
	atomic_store(&g.tunnels[1]->unanswered, 1);
	cr_expect_eq(taken(&g, 1), 2);
	cr_expect_eq(taken(&g, 0), 0);
	atomic_store(&g.tunnels[2]->unanswered, 1);
	cr_expect_eq(taken(&g, 1), 0);
	atomic_store(&g.tunnels[0]->unanswered, 1);
	for (uint32_t i = 0; i < GATEWAYS; i++)
		cr_expect_eq(taken(&g, i), (int)i, "none answers: as if all did");
	atomic_store(&g.tunnels[1]->unanswered, 0);
	for (uint32_t i = 0; i < GATEWAYS; i++)
		cr_expect_eq(taken(&g, i), 1, "one has come back");
	cr_expect_eq(g.rig->io.punt_count, 0, "whoever has a tunnel is control's to heal");
	finish(&g);
}

Test(gateway_road, without_any_tunnel_a_run_waits_for_the_chosen_one)
{
	struct gateways g = setup_gateways();
	struct addr one = gateway_addr(1);

	gateway_gone(&g, 0);
	cr_expect_eq(taken(&g, 1), -1);
	cr_expect_eq(punted(&g, PUNT_WAITING, &one), 1);
	for (uint32_t i = 0; i < g.rig->io.punt_count; i++) {
		const struct punt *punt = g.rig->io.punts[i];
		const struct addr others[] = {gateway_addr(2), gateway_addr(0)};

		if (punt->type != PUNT_WAITING)
			continue;
		cr_expect_eq(punt->gateway_count, 2, "which would do as well");
		cr_expect_eq(memcmp(punt->bytes + punt->length, others, sizeof(others)), 0);
	}
	for (uint32_t i = 0; i < GATEWAYS; i++) {
		struct addr addr = gateway_addr(i);
		cr_expect_eq(punted(&g, PUNT_WANTED, &addr), 1);
	}
	finish(&g);
}

/* With its gateways a run may be too long for a small place. */
Test(gateway_road, a_run_that_waits_has_room_for_its_gateways)
{
	struct gateways g = setup_gateways();
	uint32_t fits = WAITING_SMALL_BYTES - GATEWAYS * (uint32_t)sizeof(struct addr);
	uint8_t bytes[WAITING_SMALL_BYTES];

	gateway_gone(&g, 0);
	for (uint32_t over = 0; over < 2; over++) {
		const struct pool *pool = &g.rig->w.pools[POOL_CLASS_WAITING_SMALL + over];
		struct packet packet = {.version = 4,
					.protocol = IPPROTO_UDP,
					.source = 2,
					.destination = 70,
					.payload_bytes = fits + over - 28};

		outbound_run(&g.rig->w, bytes, packet_build(bytes, &packet), &plain);
		const struct punt *punt = g.rig->io.punts[g.rig->io.punt_count - 1];
		cr_assert_eq(punt->type, PUNT_WAITING);
		cr_expect_eq(punt->length, fits + over);
		cr_expect_eq((const uint8_t *)punt, pool->memory, "%u bytes", fits + over);
	}
	finish(&g);
}

Test(gateway_road, a_single_gateway_is_not_asked_for_beside_the_run_that_waits)
{
	struct gateways g = setup_gateways();
	struct gateway list[] = {{gateway_addr(1), 1}};
	struct route route = {behind, 1, list};

	route_table_destroy(g.rig->snapshot.routes);
	g.rig->snapshot.routes = route_table_create(&route, 1);
	cr_expect_eq(taken(&g, 0), -1);
	cr_expect_eq(punted(&g, PUNT_WAITING, &list[0].addr), 1);
	cr_expect_eq(punted(&g, PUNT_WANTED, &list[0].addr), 0);
	finish(&g);
}

Test(gateway_road, the_pool_of_events_is_full)
{
	struct gateways g = setup_gateways();
	struct punt *kept[POOL_EVENTS];

	for (int i = 0; i < POOL_EVENTS; i++)
		kept[i] = punt_take(&g.rig->w, POOL_CLASS_EVENT, PUNT_ACTIVE);
	cr_expect_eq(taken(&g, 1), 0, "traffic goes on");
	cr_expect_eq(g.rig->io.punt_count, 0);
	for (int i = 0; i < POOL_EVENTS; i++)
		punt_release(kept[i]);
	g.rig->w.now_s++;
	taken(&g, 1);
	cr_expect_eq(g.rig->io.punt_count, 2);
	finish(&g);
}

/* What control could not be told is told at the next packet. */
Test(gateway_road, events_of_a_tunnel_find_the_pool_full)
{
	struct rig *rig = rig_create(true);
	struct endpoint elsewhere = {.addr = addr_from_v4(0xc6336401), .port = 99};
	struct punt *kept[POOL_EVENTS];

	rig->tunnel->watched = 0;
	for (int i = 0; i < POOL_EVENTS; i++)
		kept[i] = punt_take(&rig->w, POOL_CLASS_EVENT, PUNT_ACTIVE);
	outbound_used(&rig->w, rig->tunnel);
	punt_tunnel_event(&rig->w, rig->tunnel, TUNNEL_EVENT_ROAM, PUNT_ROAM, &elsewhere, 0, 0);
	cr_expect_eq(rig->io.punt_count, 0);
	for (int i = 0; i < POOL_EVENTS; i++)
		punt_release(kept[i]);
	for (int i = 0; i < 2; i++) {
		outbound_used(&rig->w, rig->tunnel);
		punt_tunnel_event(&rig->w, rig->tunnel, TUNNEL_EVENT_ROAM, PUNT_ROAM, &elsewhere, 0,
				  0);
	}
	cr_assert_eq(rig->io.punt_count, 2, "each once");
	cr_expect_eq(rig->io.punts[0]->type, PUNT_ACTIVE);
	cr_expect_eq(rig->io.punts[1]->type, PUNT_ROAM);
	rig_destroy(rig);
}

/* A punt that has carried a run before says nothing of it. */
Test(gateway_road, each_waiting_run_has_its_own_gateways)
{
	struct gateways g = setup_gateways();

	gateway_gone(&g, 0);
	for (uint32_t i = 0; i <= POOL_WAITING_SMALL; i++) {
		cr_assert_eq(taken(&g, 0), -1);
		const struct punt *punt = g.rig->io.punts[g.rig->io.punt_count - 1];
		cr_assert_eq(punt->type, PUNT_WAITING);
		cr_assert_eq(punt->gateway_count, 2, "run %u", i);
		rig_forget(g.rig);
	}
	finish(&g);
}
