/*
 * read.h - typed values out of the tree, with the defaults of keys.def and the words for what is
 * wrong with them. Used by config.c and its parts only.
 *
 * What Nebula silently replaces by the default gets the default and a warning with its line; what
 * cannot be obeyed (a number out of range) is an error.
 */
#ifndef M57_CONFIG_READ_H
#define M57_CONFIG_READ_H

#include "config/config.h"
#include "config/yaml.h"

struct config_reader {
	const struct yaml_node *root;
	const char *path; /* of the configuration, for what has no line */
	struct arena *arena;
	struct findings *findings;
	struct config *config;
};

/* Each path is a row of keys.def. */
const struct yaml_node *read_node(const struct config_reader *r, const char *path);
struct where read_where(const struct config_reader *r, const char *path);
bool read_bool(const struct config_reader *r, const char *path);

/* Error unless least <= value <= most; then the default. */
int64_t read_int(const struct config_reader *r, const char *path, int64_t least, int64_t most);

/* The same, but a value outside is moved to the nearest bound with a warning. */
int64_t read_clamped(const struct config_reader *r, const char *path, int64_t least, int64_t most);

/* Nanoseconds, moved into least..most with a warning. */
uint64_t read_duration(const struct config_reader *r, const char *path, uint64_t least,
		       uint64_t most);
const char *read_text(const struct config_reader *r, const char *path);

/* The list at path; NULL when absent, empty, or (with a warning, or an error if strict) no list. */
const struct yaml_node *read_list(const struct config_reader *r, const char *path, bool strict);

/* config_routes.c */
void read_routes(struct config_reader *r);
void read_unsafe_routes(struct config_reader *r);

/* config_static.c */
void read_static_hosts(struct config_reader *r);
/* Letters, digits, '-' and '_' in labels of 1 to 63, and more than digits and dots? */
bool is_host_name(const char *text, size_t length);
/* Reads NAME:PORT; port 0 only if it may be. False: it is none. */
bool read_name_and_port(struct config_reader *r, const struct yaml_node *node, bool zero,
			struct config_name *out);

/* config_lighthouse.c; after static hosts and listen */
void read_lighthouse(struct config_reader *r);
/* What the arena does not free. */
void lighthouse_options_free(struct lighthouse_options *options);

/* config_relay.c; as above */
void read_relay(struct config_reader *r);

#endif
