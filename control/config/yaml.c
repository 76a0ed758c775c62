/*
 * yaml.c - one YAML text to a tree; see yaml.h.
 *
 * libyaml gives events; a stack of half-made maps and lists turns them into nodes. libyaml leaves
 * aliases and merge keys to its user:
 *
 *  - An alias shares the node of its anchor. An anchor is known only when its node is complete, so
 * a node cannot hold itself. What a walker of the tree will meet is bounded by `weight`.
 *  - "<<: *map" or "<<: [*map, *map]" adds the pairs whose keys the map does not have itself.
 *
 * A key twice in one map is an error, as in the reference since it uses yaml.v3 (with release 1.6.1
 * the last one won): which of two would count is a trap for whoever reads the file.
 *
 * Private keys may stand in the text. All node text is in the arena, which wipes itself, and what
 * libyaml still has of it is wiped, too. What it gave back while its buffers grew is beyond reach,
 * so core dumps are off before a configuration is read.
 */
#include "config/yaml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>
#include <sodium.h>

/* --- arena ----------------------------------------------------------------------------------- */

#define ARENA_BLOCK_BYTES 16384

struct arena_block {
	struct arena_block *next;
	size_t size, used;
	uint8_t bytes[] __attribute__((aligned(16)));
};

bool arena_try(struct arena *arena, void (*work)(void *context), void *context)
{
	jmp_buf here, *outer = arena->exhausted;
	int left;

	arena->exhausted = &here;
	left = setjmp(here);
	if (left == 0)
		work(context);
	arena->exhausted = outer;
	return left == 0;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
	struct arena_block *block = arena->blocks;
	void *result;

	bytes = (bytes + 15) & ~(size_t)15;
	if (block == NULL || block->size - block->used < bytes) {
		size_t size = bytes > ARENA_BLOCK_BYTES ? bytes : ARENA_BLOCK_BYTES;

		block = calloc(1, sizeof(*block) + size);
		if (block == NULL && arena->exhausted != NULL)
			longjmp(*arena->exhausted, 1);
		if (block == NULL) {
			fputs("error: out of memory while reading the configuration\n", stderr);
			abort();
		}
		block->size = size;
		block->next = arena->blocks;
		arena->blocks = block;
	}
	result = block->bytes + block->used;
	block->used += bytes;
	return result;
}

char *arena_text(struct arena *arena, const char *text, size_t len)
{
	char *copy = arena_alloc(arena, len + 1);

	memcpy(copy, text, len);
	return copy;
}

void arena_free(struct arena *arena)
{
	while (arena->blocks != NULL) {
		struct arena_block *block = arena->blocks;

		arena->blocks = block->next;
		sodium_memzero(block->bytes, block->used);
		free(block);
	}
}

/* --- the stack of unfinished nodes ------------------------------------------------------------ */

struct anchor {
	char *name;
	struct yaml_node *node; /* NULL until it is complete */
	struct anchor *next;
};

/* A map or list under construction. */
struct level {
	struct yaml_node *node;
	struct yaml_node *key; /* of a map: waits for its value */
	uint32_t room;         /* of items and keys */
	struct anchor *anchor;
};

struct builder {
	yaml_parser_t parser;
	yaml_event_t event; /* the one that is looked at */
	int err;
	const char *file, *text;
	size_t len; /* of text */
	struct arena *arena;
	struct findings *findings;
	struct anchor *anchors; /* newest first: a name may be used again */
	struct level levels[CONFIG_DEPTH_MAX];
	uint32_t depth;
	uint32_t nodes;
	struct yaml_node *root;
};

static struct where at(const struct builder *b, const yaml_mark_t *mark)
{
	return (struct where){b->file, (uint32_t)mark->line + 1};
}

static int fail_size(struct builder *b, struct where where)
{
	finding_error(
		b->findings, where,
		"more than %d values, aliases written out; split or shorten the configuration",
		CONFIG_NODES_MAX);
	return -EINVAL;
}

static struct yaml_node *node_new(struct builder *b, enum node_kind kind, const yaml_mark_t *mark)
{
	struct yaml_node *node = arena_alloc(b->arena, sizeof(*node));

	node->kind = kind;
	node->where = at(b, mark);
	node->weight = 1;
	b->nodes++;
	return node;
}

static void *grow(struct arena *arena, struct yaml_node **old, uint32_t count, uint32_t room)
{
	struct yaml_node **bigger = arena_alloc(arena, room * sizeof(*bigger));

	if (count > 0)
		memcpy(bigger, old, count * sizeof(*bigger));
	return bigger;
}

static void append(struct builder *b, struct level *level, struct yaml_node *key,
		   struct yaml_node *value)
{
	struct yaml_node *node = level->node;

	if (node->count == level->room) {
		level->room = level->room == 0 ? 8 : level->room * 2;
		node->items = grow(b->arena, node->items, node->count, level->room);
		if (node->kind == NODE_MAP)
			node->keys = grow(b->arena, node->keys, node->count, level->room);
	}
	if (node->kind == NODE_MAP)
		node->keys[node->count] = key;
	node->items[node->count++] = value;
}

static bool is_merge_key(const struct yaml_node *key)
{
	return key->plain && strcmp(key->text, "<<") == 0;
}

/* Puts a complete node where it belongs: into the map or list on top of the stack. */
static int place(struct builder *b, struct yaml_node *node)
{
	struct level *level;

	if (b->depth == 0) {
		b->root = node;
		return 0;
	}
	level = &b->levels[b->depth - 1];
	if (level->node->weight + node->weight > CONFIG_NODES_MAX)
		return fail_size(b, node->where);
	level->node->weight += node->weight;
	if (level->node->kind == NODE_LIST) {
		append(b, level, NULL, node);
		return 0;
	}
	if (level->key == NULL) {
		if (node->kind != NODE_SCALAR) {
			finding_error(b->findings, node->where,
				      "a map or list as a key; a key is a text");
			return -EINVAL;
		}
		level->key = node;
		return 0;
	}
	append(b, level, level->key, node);
	level->key = NULL;
	return 0;
}

/* --- anchors and merge keys ------------------------------------------------------------------- */

static struct anchor *anchor_new(struct builder *b, const yaml_char_t *name)
{
	struct anchor *anchor;

	if (name == NULL)
		return NULL;
	anchor = arena_alloc(b->arena, sizeof(*anchor));
	anchor->name = arena_text(b->arena, (const char *)name, strlen((const char *)name));
	anchor->next = b->anchors;
	b->anchors = anchor;
	return anchor;
}

static int alias(struct builder *b, const yaml_event_t *event)
{
	const char *name = (const char *)event->data.alias.anchor;
	struct anchor *anchor = b->anchors;
	char quote[FINDING_QUOTE_MAX];

	while (anchor != NULL && strcmp(anchor->name, name) != 0)
		anchor = anchor->next;
	if (anchor == NULL || anchor->node == NULL) {
		finding_error(b->findings, at(b, &event->start_mark),
			      anchor == NULL ? "unknown anchor \"*%s\"; define it above with &"
					     : "anchor \"*%s\" contains itself; remove the alias",
			      finding_quote(name, quote));
		return -EINVAL;
	}
	return place(b, anchor->node);
}

static int compare_keys(const void *a, const void *b)
{
	const struct yaml_node *const *x = a, *const *y = b;
	int order = strcmp((*x)->text, (*y)->text);

	return order != 0 ? order : (*x)->where.line < (*y)->where.line ? -1 : 1;
}

static int check_duplicates(struct builder *b, const struct yaml_node *map)
{
	struct yaml_node **sorted;
	char quote[FINDING_QUOTE_MAX];
	int err = 0;

	if (map->count < 2)
		return 0;
	sorted = malloc(map->count * sizeof(struct yaml_node *));
	if (sorted == NULL)
		return -ENOMEM;
	memcpy(sorted, map->keys, map->count * sizeof(struct yaml_node *));
	qsort(sorted, map->count, sizeof(struct yaml_node *), compare_keys);
	for (uint32_t i = 1; i < map->count; i++) {
		if (strcmp(sorted[i - 1]->text, sorted[i]->text) != 0)
			continue;
		finding_error(b->findings, sorted[i]->where,
			      "key \"%s\" is already defined at line %u; keep one of them",
			      finding_quote(sorted[i]->text, quote), sorted[i - 1]->where.line);
		err = -EINVAL;
	}
	free(sorted);
	return err;
}

/* Adds the pairs of source whose keys the map does not have. */
static int merge_pairs(struct builder *b, struct level *level, const struct yaml_node *source)
{
	if (source->kind != NODE_MAP) {
		finding_error(
			b->findings, source->where,
			"merge key << with something else than a map; give it *ANCHOR of a map");
		return -EINVAL;
	}
	for (uint32_t i = 0; i < source->count; i++) {
		struct yaml_node *map = level->node;

		if (yaml_get(map, source->keys[i]->text) != NULL)
			continue;
		if (map->weight + source->items[i]->weight + 1 > CONFIG_NODES_MAX)
			return fail_size(b, source->where);
		map->weight += source->items[i]->weight + 1;
		append(b, level, source->keys[i], source->items[i]);
	}
	return 0;
}

static int apply_merge_keys(struct builder *b, struct level *level)
{
	struct yaml_node *map = level->node, *source = NULL;
	int err = 0;

	for (uint32_t i = 0; i < map->count; i++) {
		if (!is_merge_key(map->keys[i]))
			continue;
		source = map->items[i]; /* only one: a second would be a duplicate */
		map->count--;
		memmove(&map->keys[i], &map->keys[i + 1],
			(map->count - i) * sizeof(struct yaml_node *));
		memmove(&map->items[i], &map->items[i + 1],
			(map->count - i) * sizeof(struct yaml_node *));
		break;
	}
	if (source == NULL)
		return 0;
	if (source->kind != NODE_LIST)
		return merge_pairs(b, level, source);
	for (uint32_t i = 0; i < source->count && err == 0; i++)
		err = merge_pairs(b, level, source->items[i]);
	return err;
}

/* --- events ----------------------------------------------------------------------------------- */

static int begin(struct builder *b, enum node_kind kind, const yaml_char_t *anchor,
		 const yaml_mark_t *mark)
{
	if (b->depth == CONFIG_DEPTH_MAX) {
		finding_error(b->findings, at(b, mark),
			      "more than %d lists and maps inside each other; write it flatter",
			      CONFIG_DEPTH_MAX);
		return -EINVAL;
	}
	b->levels[b->depth] = (struct level){
		.node = node_new(b, kind, mark),
		.anchor = anchor_new(b, anchor),
	};
	b->depth++;
	return 0;
}

static int end(struct builder *b)
{
	struct level *level = &b->levels[b->depth - 1];
	int err = 0;

	if (level->node->kind == NODE_MAP) {
		err = check_duplicates(b, level->node);
		if (err == 0)
			err = apply_merge_keys(b, level);
		if (err != 0)
			return err;
	}
	if (level->anchor != NULL)
		level->anchor->node = level->node;
	b->depth--;
	return place(b, level->node);
}

static int scalar(struct builder *b, const yaml_event_t *event)
{
	struct yaml_node *node = node_new(b, NODE_SCALAR, &event->start_mark);
	struct anchor *anchor = anchor_new(b, event->data.scalar.anchor);
	const char *text = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;

	if (memchr(text, '\0', len) != NULL) {
		finding_error(b->findings, node->where, "a zero byte inside a text; remove it");
		return -EINVAL;
	}
	node->text = arena_text(b->arena, text, len);
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
		      event->data.scalar.tag == NULL;
	if (anchor != NULL)
		anchor->node = node;
	return place(b, node);
}

/* Takes one event. 1: the document has ended. */
static int take(struct builder *b, const yaml_event_t *event)
{
	if (b->nodes > CONFIG_NODES_MAX)
		return fail_size(b, at(b, &event->start_mark));
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return scalar(b, event);
	case YAML_ALIAS_EVENT:
		return alias(b, event);
	case YAML_SEQUENCE_START_EVENT:
		return begin(b, NODE_LIST, event->data.sequence_start.anchor, &event->start_mark);
	case YAML_MAPPING_START_EVENT:
		return begin(b, NODE_MAP, event->data.mapping_start.anchor, &event->start_mark);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return end(b);
	case YAML_DOCUMENT_END_EVENT:
	case YAML_STREAM_END_EVENT:
		return 1;
	default:
		return 0;
	}
}

/* The reference reads the first document of a file and nothing behind it. */
static void warn_second_document(struct builder *b)
{
	yaml_event_t event;

	if (!yaml_parser_parse(&b->parser, &event))
		return;
	if (event.type == YAML_DOCUMENT_START_EVENT)
		finding_warning(
			b->findings, at(b, &event.start_mark),
			"what follows \"---\" or \"...\" is not read; remove that line, or use "
			"a file of its own in a directory");
	yaml_event_delete(&event);
}

static void wipe_parser(yaml_parser_t *parser)
{
	sodium_memzero(parser->raw_buffer.start,
		       (size_t)(parser->raw_buffer.end - parser->raw_buffer.start));
	sodium_memzero(parser->buffer.start, (size_t)(parser->buffer.end - parser->buffer.start));
	yaml_parser_delete(parser);
}

/* Where bytes are no UTF-8 libyaml tells the byte and not the line. */
static void fail_parse(struct builder *b)
{
	yaml_mark_t mark = b->parser.problem_mark;
	bool bytes = b->parser.error == YAML_READER_ERROR;
	const char *problem = b->parser.problem != NULL ? b->parser.problem : "unknown";

	for (size_t i = 0; bytes && i < b->parser.problem_offset && i < b->len; i++)
		mark.line += b->text[i] == '\n';
	finding_error(b->findings, at(b, &mark), "not valid YAML: %s; %s", problem,
		      bytes ? "write this line in UTF-8"
			    : "look at the indentation and quotes of this line and the one before");
}

static void forget_event(struct builder *b)
{
	if (b->event.type == YAML_SCALAR_EVENT)
		sodium_memzero(b->event.data.scalar.value, b->event.data.scalar.length);
	yaml_event_delete(&b->event);
}

static int parse_events(struct builder *b)
{
	yaml_mark_t start = {0};
	int done = 0;

	while (done == 0) {
		if (!yaml_parser_parse(&b->parser, &b->event)) {
			if (b->parser.error == YAML_MEMORY_ERROR)
				return -ENOMEM;
			fail_parse(b);
			return -EINVAL;
		}
		done = take(b, &b->event);
		forget_event(b);
	}
	if (done < 0)
		return done;
	warn_second_document(b);
	if (b->root == NULL || yaml_is_null(b->root))
		b->root = node_new(b, NODE_MAP, &start);
	return 0;
}

static void parse(void *context)
{
	struct builder *b = context;

	b->err = parse_events(b);
}

const struct yaml_node *yaml_parse(const char *file, const char *text, size_t len,
				   struct arena *arena, struct findings *findings)
{
	struct builder b = {
		.file = file, .text = text, .len = len, .arena = arena, .findings = findings};

	if (!yaml_parser_initialize(&b.parser)) {
		finding_error(findings, (struct where){file, 0}, "out of memory");
		return NULL;
	}
	yaml_parser_set_input_string(&b.parser, (const unsigned char *)text, len);
	if (!arena_try(arena, parse, &b)) {
		forget_event(&b);
		b.err = -ENOMEM;
	}
	wipe_parser(&b.parser);
	if (b.err != 0) {
		if (b.err == -ENOMEM)
			finding_error(findings, (struct where){file, 0}, "out of memory");
		return NULL;
	}
	if (b.root->kind != NODE_MAP) {
		finding_error(findings, b.root->where,
			      "a configuration is a map of keys such as \"pki:\" and \"listen:\"");
		return NULL;
	}
	return b.root;
}

/* --- looking things up ------------------------------------------------------------------------ */

const struct yaml_node *yaml_get(const struct yaml_node *node, const char *key)
{
	if (node == NULL || node->kind != NODE_MAP)
		return NULL;
	for (uint32_t i = 0; i < node->count; i++)
		if (strcmp(node->keys[i]->text, key) == 0)
			return node->items[i];
	return NULL;
}

const struct yaml_node *yaml_find(const struct yaml_node *root, const char *path)
{
	char part[64];

	while (root != NULL && *path != '\0') {
		size_t len = strcspn(path, ".");

		if (len >= sizeof(part))
			return NULL;
		memcpy(part, path, len);
		part[len] = '\0';
		root = yaml_get(root, part);
		path += len + (path[len] == '.');
	}
	return root;
}
