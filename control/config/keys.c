/*
 * keys.c - the table of all configuration keys; see keys.h.
 */
#include "config/keys.h"

#include <stdio.h>
#include <string.h>

#define PATH_MAX_BYTES 128 /* longer paths than the table's are unknown anyway */

const struct key keys[] = {
#define KEY(path, type, default_text, reload, since, effect, note)                                 \
	{path, KEY_##type, default_text, KEY_RELOAD_##reload, since, KEY_##effect, note},
#include "config/keys.def"
#undef KEY
};
const size_t keys_count = sizeof(keys) / sizeof(keys[0]);

const struct key *keys_find(const char *path)
{
	for (size_t i = 0; i < keys_count; i++)
		if (strcmp(keys[i].path, path) == 0)
			return &keys[i];
	return NULL;
}

/* Do rows begin with path and a dot? */
static bool is_section(const char *path)
{
	size_t len = strlen(path);

	for (size_t i = 0; i < keys_count; i++)
		if (strncmp(keys[i].path, path, len) == 0 && keys[i].path[len] == '.')
			return true;
	return false;
}

bool keys_is_default(const struct key *key, const struct yaml_node *value)
{
	struct yaml_node usual = {.kind = NODE_SCALAR, .plain = true, .text = key->default_text};
	int64_t mine, theirs;
	bool yes, usually;

	if (yaml_is_null(value) || (value->kind != NODE_SCALAR && value->count == 0))
		return true;
	switch (key->type) {
	case KEY_BOOL:
		/* what is no bool is replaced by the default */
		return yaml_bool(value, &yes) != 0 ||
		       (yaml_bool(&usual, &usually) == 0 && yes == usually);
	case KEY_INT:
		return yaml_int(value, &mine) == 0 &&
		       ((yaml_int(&usual, &theirs) == 0 && mine == theirs) || mine == 0);
	case KEY_DURATION:
		return yaml_duration(value, &mine) == 0 && yaml_duration(&usual, &theirs) == 0 &&
		       mine == theirs;
	default:
		return value->kind == NODE_SCALAR &&
		       (value->text[0] == '\0' || strcmp(value->text, key->default_text) == 0);
	}
}

/* --- unknown keys ----------------------------------------------------------------------------- */

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned least = a < b ? a : b;

	return least < c ? least : c;
}

/* Letters to add, remove or change to get from a to b. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[PATH_MAX_BYTES];
	size_t la = strlen(a), lb = strlen(b);

	if (la >= PATH_MAX_BYTES || lb >= PATH_MAX_BYTES)
		return PATH_MAX_BYTES;
	for (size_t j = 0; j <= lb; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned above = row[j];

			row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[lb];
}

/* The known path that path is likely meant to be, or NULL. */
static const char *nearest(const char *path)
{
	const char *best = NULL;
	unsigned least = 3;

	for (size_t i = 0; i < keys_count; i++) {
		unsigned d = distance(path, keys[i].path);

		if (d < least) {
			least = d;
			best = keys[i].path;
		}
	}
	return best;
}

static void unknown(const char *path, struct where where, struct findings *findings)
{
	/* a thousand unknown keys need no thousand suggestions */
	const char *meant = findings->count < FINDINGS_MAX ? nearest(path) : NULL;
	char quote[FINDING_QUOTE_MAX];

	finding_quote(path, quote);
	if (meant != NULL)
		finding_warning(findings, where,
				"unknown key \"%s\" has no effect; did you mean \"%s\"?", quote,
				meant);
	else
		finding_warning(findings, where,
				"unknown key \"%s\" has no effect; check its spelling and "
				"indentation, or remove it",
				quote);
}

/* --- keys without effect ---------------------------------------------------------------------- */

static void check_row(const struct key *key, const struct yaml_node *value, struct where where,
		      bool allow_incomplete, struct findings *findings)
{
	if (key->effect == KEY_WORKS || key->effect == KEY_MOOT || keys_is_default(key, value))
		return;
	if (key->effect == KEY_HARMLESS)
		finding_warning(findings, where, "%s has no effect: %s; it may stay", key->path,
				key->note);
	else if (allow_incomplete)
		finding_warning(findings, where, "%s is ignored (m57.allow_incomplete): %s",
				key->path, key->note);
	else
		finding_error(findings, where,
			      "%s is not supported yet: %s; remove the key, keep nebula on this "
			      "host, or set m57.allow_incomplete: true to start without it",
			      key->path, key->note);
}

static void check_map(const struct yaml_node *map, const char *prefix, bool allow_incomplete,
		      struct findings *findings)
{
	for (uint32_t i = 0; i < map->count; i++) {
		const struct yaml_node *value = map->items[i];
		struct where where = map->keys[i]->where;
		char path[PATH_MAX_BYTES];
		const struct key *key;
		int len = snprintf(path, sizeof(path), "%s%s%s", prefix,
				   prefix[0] != '\0' ? "." : "", map->keys[i]->text);

		/* a dot in a key would look like a section of the table */
		if (len >= PATH_MAX_BYTES || strpbrk(map->keys[i]->text, ".[") != NULL) {
			unknown(path, where, findings);
			continue;
		}
		if (is_section(path) && value->kind == NODE_MAP) {
			check_map(value, path, allow_incomplete, findings);
			continue;
		}
		key = keys_find(path);
		if (key != NULL)
			check_row(key, value, where, allow_incomplete, findings);
		else if (!is_section(path))
			unknown(path, where, findings);
		else if (!yaml_is_null(value))
			finding_warning(findings, where,
					"\"%s\" is a group of keys, but this is %s; its defaults "
					"are used: put the keys below it, indented",
					path, value->kind == NODE_LIST ? "a list" : "a value");
	}
}

void keys_check(const struct yaml_node *root, bool allow_incomplete, struct findings *findings)
{
	check_map(root, "", allow_incomplete, findings);
}

void keys_check_item(const struct yaml_node *item, const char *path, struct findings *findings)
{
	for (uint32_t i = 0; i < item->count; i++) {
		char full[PATH_MAX_BYTES];
		int len = snprintf(full, sizeof(full), "%s[].%s", path, item->keys[i]->text);

		if (len >= PATH_MAX_BYTES || keys_find(full) == NULL)
			unknown(full, item->keys[i]->where, findings);
	}
}
