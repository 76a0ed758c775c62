/*
 * route_table.c - makes the table of route.h: prefixes, which nest, into ranges, which do not.
 *
 * Routes are sorted by where they begin, the shorter prefix first, so that each comes after those
 * it lies in. A walk keeps the routes that hold the present address as a stack, the longest on top.
 * The answer changes where a route begins (it is the new top) and behind its end (the one below
 * it is the top again); each change begins a range. n routes make at most 2n + 1 ranges.
 */
#include <stdlib.h>

#include "limits.h"
#include "route.h"

typedef unsigned __int128 wide;

#define DEPTH_MAX   129 /* prefixes that nest, all of different length */
#define BUCKET_NONE UINT32_MAX

/* A route on the number line of its family. */
struct span {
	wide first, last;
	uint32_t route; /* its place in what the caller gave */
	uint32_t entry; /* its place in the table */
	uint8_t bits;
	bool v4;
};

/* Ranges of one family under construction, or only counted. */
struct cuts {
	uint32_t count;
	wide *starts;
	uint32_t *entries;
};

static wide addr_wide(const struct addr *addr)
{
	wide value = 0;

	for (int i = 0; i < 16; i++)
		value = value << 8 | addr->bytes[i];
	return value;
}

static struct span span_of(const struct prefix *to, uint32_t route)
{
	struct span span = {.route = route, .bits = to->bits, .v4 = addr_is_v4(&to->addr)};
	wide host = to->bits == 0 ? ~(wide)0 : ((wide)1 << (128 - to->bits)) - 1;

	span.first = span.v4 ? (wide)addr_v4(&to->addr) : addr_wide(&to->addr);
	span.last = span.first | host;
	return span;
}

/* By family, begin, length; equal prefixes in the order they were given. */
static int compare(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	if (x->v4 != y->v4)
		return x->v4 ? -1 : 1;
	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	if (x->bits != y->bits)
		return x->bits < y->bits ? -1 : 1;
	return x->route < y->route ? -1 : 1;
}

/* Of equal prefixes only the last one is left. Returns how many there are then. */
static uint32_t drop_repeated(struct span *spans, uint32_t count)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < count; i++) {
		bool again = i + 1 < count && spans[i].v4 == spans[i + 1].v4 &&
			     spans[i].first == spans[i + 1].first &&
			     spans[i].bits == spans[i + 1].bits;
		if (!again)
			spans[kept++] = spans[i];
	}
	return kept;
}

/* From start on the answer is entry. A change at the same place takes the place of the one before.
 */
static void cut(struct cuts *cuts, wide start, uint32_t entry)
{
	if (cuts->count > 0 && cuts->starts[cuts->count - 1] == start)
		cuts->count--;
	cuts->starts[cuts->count] = start;
	cuts->entries[cuts->count++] = entry;
}

/* Cuts one family, whose addresses end at last. starts and entries have room for 2 count + 1. */
static void cut_family(struct cuts *cuts, const struct span *spans, uint32_t count, wide last)
{
	const struct span *open[DEPTH_MAX];
	uint32_t depth = 0;

	if (count == 0)
		return;
	cut(cuts, 0, ROUTE_NONE);
	for (uint32_t i = 0; i <= count; i++) {
		while (depth > 0 && (i == count || open[depth - 1]->last < spans[i].first)) {
			wide end = open[--depth]->last;

			if (end != last)
				cut(cuts, end + 1, depth ? open[depth - 1]->entry : ROUTE_NONE);
		}
		if (i == count)
			break;
		cut(cuts, spans[i].first, spans[i].entry);
		open[depth++] = &spans[i];
	}
}

/* --- gateways ----------------------------------------------------------------------------------
 */

/* Bounds of the buckets, PROTOCOL.md 4.2. */
static void gateways_fill(struct route_gateway *out, const struct route *route)
{
	uint64_t total = 0, sum = 0;

	for (uint32_t i = 0; i < route->gateway_count; i++)
		total += route->gateways[i].weight;
	for (uint32_t i = 0; i < route->gateway_count; i++) {
		sum += route->gateways[i].weight;
		out[i].to = route->gateways[i];
		out[i].bound = (int32_t)((int64_t)((((wide)sum << 31) + total / 2) / total) - 1);
		atomic_init(&out[i].asked_s, 0);
	}
}

static bool gateways_equal(const struct route_gateway *have, const struct route *route)
{
	for (uint32_t i = 0; i < route->gateway_count; i++)
		if (!addr_equal(&have[i].to.addr, &route->gateways[i].addr) ||
		    have[i].to.weight != route->gateways[i].weight)
			return false;
	return true;
}

static uint32_t gateways_hash(const struct route *route)
{
	uint64_t hash = route->gateway_count;

	for (uint32_t i = 0; i < route->gateway_count; i++)
		hash = (hash ^ addr_hash(&route->gateways[i].addr) ^ route->gateways[i].weight) *
		       0x9e3779b97f4a7c15u;
	return (uint32_t)(hash >> 32);
}

/*
 * The gateways of route: those of an entry before, when they are the same. buckets is an open hash
 * table of entries, a power of two and larger than the number of routes.
 */
static void gateways_share(struct route_table *table, struct route_entry *entry,
			   const struct route *route, uint32_t *buckets, uint32_t mask)
{
	uint32_t at = gateways_hash(route) & mask;

	entry->gateway_count = (uint8_t)route->gateway_count;
	for (; buckets[at] != BUCKET_NONE; at = (at + 1) & mask) {
		const struct route_entry *other = &table->entries[buckets[at]];

		if (other->gateway_count == route->gateway_count &&
		    gateways_equal(&table->gateways[other->gateway_first], route)) {
			entry->gateway_first = other->gateway_first;
			return;
		}
	}
	buckets[at] = (uint32_t)(entry - table->entries);
	entry->gateway_first = table->gateway_count;
	gateways_fill(&table->gateways[table->gateway_count], route);
	table->gateway_count += route->gateway_count;
}

static bool entries_create(struct route_table *table, const struct route *routes,
			   struct span *spans, uint32_t count)
{
	uint32_t *buckets, gateways = 0, size = 2;

	for (uint32_t i = 0; i < count; i++)
		gateways += routes[spans[i].route].gateway_count;
	while (size <= 2 * count)
		size *= 2;
	table->entries = calloc(count, sizeof(*table->entries));
	table->gateways = calloc(gateways, sizeof(*table->gateways));
	buckets = malloc(size * sizeof(*buckets));
	if (!table->entries || !table->gateways || !buckets) {
		free(buckets);
		return false;
	}
	memset(buckets, 0xff, size * sizeof(*buckets));
	for (uint32_t i = 0; i < count; i++) {
		struct route_entry *entry = &table->entries[table->entry_count];

		spans[i].entry = table->entry_count++;
		entry->to = routes[spans[i].route].to;
		gateways_share(table, entry, &routes[spans[i].route], buckets, size - 1);
	}
	free(buckets);
	return true;
}

/* --- all ---------------------------------------------------------------------------------------
 */

/* The ranges of both families; IPv4 addresses are numbers of 32 bits from here on. */
static bool ranges_create(struct route_table *table, const struct span *spans, uint32_t count)
{
	uint32_t v4 = 0;
	struct cuts cuts;

	while (v4 < count && spans[v4].v4)
		v4++;
	cuts = (struct cuts){.starts = malloc((2 * v4 + 1) * sizeof(*cuts.starts)),
			     .entries = malloc((2 * v4 + 1) * sizeof(*cuts.entries))};
	table->v4_starts = malloc((2 * v4 + 1) * sizeof(*table->v4_starts));
	table->v4_entries = cuts.entries;
	table->v6_starts = malloc((2 * (count - v4) + 1) * sizeof(*table->v6_starts));
	table->v6_entries = malloc((2 * (count - v4) + 1) * sizeof(*table->v6_entries));
	if (!cuts.starts || !cuts.entries || !table->v4_starts || !table->v6_starts ||
	    !table->v6_entries) {
		free(cuts.starts);
		return false;
	}
	cut_family(&cuts, spans, v4, UINT32_MAX);
	table->v4_ranges = cuts.count;
	for (uint32_t i = 0; i < cuts.count; i++)
		table->v4_starts[i] = (uint32_t)cuts.starts[i];
	free(cuts.starts);

	cuts = (struct cuts){.starts = table->v6_starts, .entries = table->v6_entries};
	cut_family(&cuts, spans + v4, count - v4, ~(wide)0);
	table->v6_ranges = cuts.count;
	return true;
}

struct route_table *route_table_create(const struct route *routes, uint32_t count)
{
	struct route_table *table = calloc(1, sizeof(*table));
	struct span *spans = calloc(count + 1, sizeof(*spans));

	if (!table || !spans)
		goto err_free;
	for (uint32_t i = 0; i < count; i++) {
		if (routes[i].gateway_count == 0 || routes[i].gateway_count > GATEWAYS_MAX)
			goto err_free;
		spans[i] = span_of(&routes[i].to, i);
	}
	qsort(spans, count, sizeof(*spans), compare);
	count = drop_repeated(spans, count);
	if (count > 0 &&
	    (!entries_create(table, routes, spans, count) || !ranges_create(table, spans, count)))
		goto err_free;
	free(spans);
	return table;

err_free:
	free(spans);
	route_table_destroy(table);
	return NULL;
}

void route_table_destroy(struct route_table *table)
{
	if (!table)
		return;
	free(table->v4_starts);
	free(table->v4_entries);
	free(table->v6_starts);
	free(table->v6_entries);
	free(table->entries);
	free(table->gateways);
	free(table);
}
