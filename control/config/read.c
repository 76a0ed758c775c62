/*
 * read.c - typed values out of the tree; see read.h.
 */
#include "config/read.h"

#include <string.h>

#include "config/keys.h"

#define SECOND_NS 1000000000ull

const struct yaml_node *read_node(const struct config_reader *r, const char *path)
{
	const struct yaml_node *node = yaml_find(r->root, path);

	return yaml_is_null(node) ? NULL : node;
}

struct where read_where(const struct config_reader *r, const char *path)
{
	const struct yaml_node *node = yaml_find(r->root, path);

	return node != NULL ? node->where : (struct where){r->path, 0};
}

/* The default of a row as a node, so that it is parsed as a value of the file is. */
static struct yaml_node usual(const char *path)
{
	const struct key *key = keys_find(path);

	return (struct yaml_node){
		.kind = NODE_SCALAR, .plain = true, .text = key != NULL ? key->default_text : ""};
}

static void warn_replaced(const struct config_reader *r, const struct yaml_node *node,
			  const char *path, const char *wanted)
{
	char quote[FINDING_QUOTE_MAX];
	struct yaml_node standard = usual(path);

	finding_warning(r->findings, node->where,
			"%s: \"%s\" is not %s; the default %s is used: correct or remove it", path,
			node->kind == NODE_SCALAR ? finding_quote(node->text, quote)
			: node->kind == NODE_LIST ? "(a list)"
						  : "(a map)",
			wanted, standard.text[0] != '\0' ? standard.text : "(empty)");
}

bool read_bool(const struct config_reader *r, const char *path)
{
	const struct yaml_node *node = read_node(r, path);
	struct yaml_node standard = usual(path);
	bool value = false;

	yaml_bool(&standard, &value);
	if (node != NULL && yaml_bool(node, &value) != 0)
		warn_replaced(r, node, path, "true or false");
	return value;
}

static int64_t any_int(const struct config_reader *r, const char *path)
{
	const struct yaml_node *node = read_node(r, path);
	struct yaml_node standard = usual(path);
	int64_t value = 0;

	yaml_int(&standard, &value);
	if (node != NULL && yaml_int(node, &value) != 0)
		warn_replaced(r, node, path, "a whole number");
	return value;
}

int64_t read_int(const struct config_reader *r, const char *path, int64_t least, int64_t most)
{
	struct yaml_node standard = usual(path);
	int64_t value = any_int(r, path);

	if (value >= least && value <= most)
		return value;
	finding_error(r->findings, read_where(r, path), "%s: %lld is not between %lld and %lld",
		      path, (long long)value, (long long)least, (long long)most);
	value = least;
	yaml_int(&standard, &value);
	return value;
}

int64_t read_clamped(const struct config_reader *r, const char *path, int64_t least, int64_t most)
{
	int64_t value = any_int(r, path);
	int64_t nearest = value < least ? least : value > most ? most : value;

	if (nearest != value)
		finding_warning(r->findings, read_where(r, path),
				"%s: %lld is not between %lld and %lld; %lld is used", path,
				(long long)value, (long long)least, (long long)most,
				(long long)nearest);
	return nearest;
}

uint64_t read_duration(const struct config_reader *r, const char *path, uint64_t least,
		       uint64_t most)
{
	const struct yaml_node *node = read_node(r, path);
	struct yaml_node standard = usual(path);
	int64_t value = 0;
	uint64_t nearest;

	yaml_duration(&standard, &value);
	if (node != NULL && yaml_duration(node, &value) != 0)
		warn_replaced(r, node, path, "a duration such as 500ms, 30s or 1m30s");
	nearest = value < (int64_t)least ? least : value > (int64_t)most ? most : (uint64_t)value;
	if (nearest != (uint64_t)value)
		finding_warning(r->findings, node->where,
				"%s: too %s; %.9g seconds are used: write a duration between %.9g "
				"and %.9g seconds",
				path, nearest == least ? "short" : "long",
				(double)nearest / SECOND_NS, (double)least / SECOND_NS,
				(double)most / SECOND_NS);
	return nearest;
}

const char *read_text(const struct config_reader *r, const char *path)
{
	const struct yaml_node *node = read_node(r, path);
	const char *text;

	if (node == NULL)
		return usual(path).text;
	text = yaml_text(node, r->arena);
	if (text == NULL) {
		warn_replaced(r, node, path, "a text");
		return usual(path).text;
	}
	return text;
}

const struct yaml_node *read_list(const struct config_reader *r, const char *path, bool strict)
{
	const struct yaml_node *node = read_node(r, path);

	if (node == NULL || (node->kind != NODE_SCALAR && node->count == 0))
		return NULL;
	if (node->kind == NODE_LIST)
		return node;
	if (strict)
		finding_error(r->findings, node->where,
			      "%s is not a list; begin each entry with \"- \"", path);
	else
		finding_warning(r->findings, node->where,
				"%s is not a list and is ignored; begin each entry with \"- \"",
				path);
	return NULL;
}
