/*
 * keys.h - the table of all configuration keys (keys.def) and the comparison of a file with it.
 */
#ifndef M57_CONFIG_KEYS_H
#define M57_CONFIG_KEYS_H

#include "config/yaml.h"

enum key_type { KEY_BOOL, KEY_INT, KEY_DURATION, KEY_TEXT, KEY_LIST, KEY_MAP };
enum key_reload { KEY_RELOAD_YES, KEY_RELOAD_NO, KEY_RELOAD_PARTLY };
enum key_effect { KEY_WORKS, KEY_HARMLESS, KEY_STOPS, KEY_MOOT };

struct key {
	const char *path;
	enum key_type type;
	const char *default_text; /* "" for none */
	enum key_reload reload;
	const char *since;
	enum key_effect effect;
	const char *note;
};

extern const struct key keys[];
extern const size_t keys_count;

/* The row of a path, or NULL. */
const struct key *keys_find(const char *path);

/*
 * Is value the same as the key's default, or empty? Then the key might as well be absent.
 * Compared by meaning: 1m is 60s.
 */
bool keys_is_default(const struct key *key, const struct yaml_node *value);

/*
 * Reports every key of the tree that is unknown or has no effect: warnings, and errors for keys
 * that may not be ignored (warnings too when allow_incomplete). Elements of lists are left to
 * keys_check_item().
 */
void keys_check(const struct yaml_node *root, bool allow_incomplete, struct findings *findings);

/* The same for one element, a map, of the list at path: "tun.routes", or "firewall" for rules. */
void keys_check_item(const struct yaml_node *item, const char *path, struct findings *findings);

#endif
