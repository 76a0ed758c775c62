/* changes.c - see changes.h. */
#include "config/changes.h"

#include <string.h>

#include "config/keys.h"
#include "config/yaml.h"

/* 1m and 60s, yes and true. */
static bool same_value(enum key_type type, const struct yaml_node *a, const struct yaml_node *b)
{
	int64_t x, y;
	bool yes, also;

	if (a == NULL || b == NULL)
		return false;
	switch (type) {
	case KEY_BOOL:
		return yaml_bool(a, &yes) == 0 && yaml_bool(b, &also) == 0 && yes == also;
	case KEY_INT:
		return yaml_int(a, &x) == 0 && yaml_int(b, &y) == 0 && x == y;
	case KEY_DURATION:
		return yaml_duration(a, &x) == 0 && yaml_duration(b, &y) == 0 && x == y;
	default:
		return false;
	}
}

static bool int_of(const struct key *key, const struct yaml_node *node, int64_t *out)
{
	struct yaml_node usual = {.kind = NODE_SCALAR, .plain = true, .text = key->default_text};

	return yaml_int(yaml_is_null(node) ? &usual : node, out) == 0;
}

static bool changed(const struct key *key, const struct yaml_node *old,
		    const struct yaml_node *next)
{
	int64_t x, y;

	/* to keys_is_default() 0 is as much as leaving it out, but the node goes by it */
	if (key->type == KEY_INT && int_of(key, old, &x) && int_of(key, next, &y))
		return x != y;
	if (keys_is_default(key, old) && keys_is_default(key, next))
		return false;
	return !yaml_equal(old, next) && !same_value(key->type, old, next);
}

unsigned config_changes(const struct config *old, const struct config *next,
			char text[CHANGES_TEXT_MAX], struct where *where)
{
	unsigned count = 0;
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < keys_count; i++) {
		const struct key *key = &keys[i];
		const struct yaml_node *was = yaml_find(old->tree, key->path);
		const struct yaml_node *is = yaml_find(next->tree, key->path);

		if (key->reload != KEY_RELOAD_NO || key->effect != KEY_WORKS ||
		    !changed(key, was, is))
			continue;
		if (count++ == 0)
			*where = is != NULL ? is->where : (struct where){next->tree->where.file, 0};
		if (used + strlen(key->path) + 3 <= CHANGES_TEXT_MAX)
			used += (size_t)snprintf(text + used, CHANGES_TEXT_MAX - used, "%s%s",
						 used > 0 ? ", " : "", key->path);
	}
	return count;
}
