/*
 * yaml.h - YAML files as a tree of nodes that know their file and line (PROTOCOL.md 9.1).
 *
 * A tree never changes once made: aliases and merge keys share nodes, and merging two trees makes
 * new maps and lists that share what they do not change. Each node counts the values below it as if
 * every alias were written out, so that a small file cannot become a large tree (CONFIG_NODES_MAX)
 * for those who walk it.
 */
#ifndef M57_CONFIG_YAML_H
#define M57_CONFIG_YAML_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/finding.h"

/* Memory that is freed, and wiped, in one go. Zero it before use. */
struct arena {
	struct arena_block *blocks;
	jmp_buf *exhausted; /* of the innermost arena_try() */
};

/*
 * Calls work(context). False when there was no memory for an arena_alloc() in it, which does not
 * return then: work may own nothing at such a place but what context or the arena refers to.
 */
bool arena_try(struct arena *arena, void (*work)(void *context), void *context);

/* Zeroed memory; never NULL. Without memory it leaves arena_try(), or ends the program. */
void *arena_alloc(struct arena *arena, size_t bytes);
char *arena_text(struct arena *arena, const char *text, size_t len);
void arena_free(struct arena *arena);

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct yaml_node {
	enum node_kind kind;
	bool plain; /* scalar without quotes or tag: may be a number, a bool or null */
	struct where where;
	uint32_t weight;          /* values below and this one, aliases written out */
	uint32_t count;           /* elements of a list, pairs of a map */
	const char *text;         /* scalar, as written */
	struct yaml_node **items; /* list: elements; map: values */
	struct yaml_node **keys;  /* map: scalars */
};

/*
 * Parses one file's text. NULL and an error in findings when it is not YAML, not a map, too large
 * or too deep. An empty text is an empty map. file is kept, not copied.
 */
const struct yaml_node *yaml_parse(const char *file, const char *text, size_t len,
				   struct arena *arena, struct findings *findings);

/*
 * Reads the file, or every .yaml and .yml below the directory, at path, and merges them in byte
 * order of their absolute paths: later files win, except that empty values (0, false, "", null) do
 * not override; lists are concatenated, later files first. NULL with an error in findings.
 */
const struct yaml_node *yaml_load(const char *path, struct arena *arena, struct findings *findings);

/* The merge of two trees; later wins. NULL with an error when a map meets a list or a scalar. */
const struct yaml_node *yaml_merge(const struct yaml_node *later, const struct yaml_node *earlier,
				   struct arena *arena, struct findings *findings);

/* Value of a map's key, or NULL; node may be NULL or not a map. */
const struct yaml_node *yaml_get(const struct yaml_node *node, const char *key);

/* The same by a dotted path, "tun.mtu". */
const struct yaml_node *yaml_find(const struct yaml_node *root, const char *path);

/* The same values in the same order, wherever they stand and however they are quoted? */
bool yaml_equal(const struct yaml_node *a, const struct yaml_node *b);

/* Is it null: absent, ~, null, or nothing at all? */
bool yaml_is_null(const struct yaml_node *node);

/* Empty in the sense of the merge: 0, false, "", null, [], {}. */
bool yaml_is_empty(const struct yaml_node *node);

/*
 * Text of a scalar as Go would print the value: 0x10 is "16", True is "true", 1.0 is "1". Null is
 * "<nil>". NULL for lists and maps.
 */
const char *yaml_text(const struct yaml_node *node, struct arena *arena);

/* Readers of scalars, as lenient as Nebula's. Return 0, or -EINVAL and leave *out alone. */
int yaml_bool(const struct yaml_node *node, bool *out);
int yaml_int(const struct yaml_node *node, int64_t *out);
int yaml_duration(const struct yaml_node *node, int64_t *nanoseconds);

#endif
