/*
 * table.h - an intrusive hash table for control's own look-ups. One thread.
 *
 * Keys may repeat: walk the chain with table_first() and table_next() and compare. The hash is the
 * caller's; where a stranger chooses the key it must be a cryptographic one.
 */
#ifndef M57_TABLE_H
#define M57_TABLE_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct table_node {
	struct table_node *next;
	uint64_t hash;
};

struct table {
	struct table_node **buckets;
	size_t mask; /* buckets - 1 */
	size_t count;
};

#define TABLE_BUCKETS_MIN 64

static inline int table_init(struct table *table)
{
	table->buckets = calloc(TABLE_BUCKETS_MIN, sizeof(*table->buckets));
	table->mask = TABLE_BUCKETS_MIN - 1;
	table->count = 0;
	return table->buckets ? 0 : -ENOMEM;
}

static inline void table_free(struct table *table)
{
	free(table->buckets);
}

static inline void table_link(struct table *table, struct table_node *node)
{
	struct table_node **bucket = &table->buckets[node->hash & table->mask];

	node->next = *bucket;
	*bucket = node;
}

/* Doubles the buckets; without memory the chains just get longer. */
static inline void table_grow(struct table *table)
{
	size_t old = table->mask + 1;
	struct table_node **before = table->buckets;
	struct table_node **buckets = calloc(old * 2, sizeof(*buckets));

	if (!buckets)
		return;
	table->buckets = buckets;
	table->mask = old * 2 - 1;
	for (size_t i = 0; i < old; i++) {
		for (struct table_node *node = before[i], *next; node; node = next) {
			next = node->next;
			table_link(table, node);
		}
	}
	free(before);
}

static inline void table_add(struct table *table, struct table_node *node, uint64_t hash)
{
	if (table->count++ > table->mask)
		table_grow(table);
	node->hash = hash;
	table_link(table, node);
}

static inline void table_remove(struct table *table, struct table_node *node)
{
	struct table_node **at = &table->buckets[node->hash & table->mask];

	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	table->count--;
}

static inline struct table_node *table_skip(struct table_node *node, uint64_t hash)
{
	while (node && node->hash != hash)
		node = node->next;
	return node;
}

static inline struct table_node *table_first(const struct table *table, uint64_t hash)
{
	return table_skip(table->buckets[hash & table->mask], hash);
}

static inline struct table_node *table_next(const struct table_node *node)
{
	return table_skip(node->next, node->hash);
}

#define table_entry(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))

#endif
