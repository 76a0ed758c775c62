/* config_example_test.c - scripts/dist/example-config.yml shows every key that works, and no other.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/keys.h"
#include "unit/control/config_fixture.h"

TestSuite(config_example);

static void accepted(const char *text)
{
	load_text(text);
	cr_assert_not_null(config);
	cr_assert_eq(findings.count, 0, "%s", first());
}

#define EXAMPLE "scripts/dist/example-config.yml"

/* The file's text; with all_keys "#key:" and "#  - x" become keys (comments have "# " and no dash).
 */
static char *example(bool all_keys)
{
	static char text[32768];
	char line[512];
	FILE *in = fopen(EXAMPLE, "r");

	cr_assert_not_null(in, "run the tests in the project's folder");
	text[0] = '\0';
	while (fgets(line, sizeof(line), in) != NULL) {
		char *hash = line + strspn(line, " ");

		if (all_keys && hash[0] == '#' &&
		    (hash[1] == '-' || (hash[1] >= 'a' && hash[1] <= 'z') ||
		     strncmp(hash, "#  - ", 5) == 0 || strncmp(hash, "#    ", 5) == 0 ||
		     (strncmp(hash, "#  ", 3) == 0 && strchr(hash, ':') != NULL &&
		      ((hash[3] >= 'a' && hash[3] <= 'z') || hash[3] == '"'))))
			memmove(hash, hash + 1, strlen(hash));
		strcat(text, line);
	}
	fclose(in);
	return text;
}

Test(config_example, is_accepted, .fini = fini)
{
	accepted(example(false));
}

static void mark(const char *path, bool *seen)
{
	const struct key *key = keys_find(path);

	cr_assert_not_null(key, "the example has %s, keys.def has not", path);
	cr_assert_eq(key->effect, KEY_WORKS, "%s does not work; the example must not show it",
		     path);
	seen[key - keys] = true;
}

static void mark_items(const struct yaml_node *list, const char *prefix, bool *seen)
{
	for (uint32_t i = 0; list != NULL && i < list->count; i++)
		for (uint32_t j = 0; j < list->items[i]->count; j++) {
			char path[128];

			snprintf(path, sizeof(path), "%s[].%s", prefix,
				 list->items[i]->keys[j]->text);
			mark(path, seen);
		}
}

static void mark_map(const struct yaml_node *map, const char *prefix, bool *seen)
{
	for (uint32_t i = 0; i < map->count; i++) {
		const struct yaml_node *value = map->items[i];
		const struct key *key;
		char path[128];

		snprintf(path, sizeof(path), "%s%s%s", prefix, prefix[0] != '\0' ? "." : "",
			 map->keys[i]->text);
		key = keys_find(path);
		/* punchy is a group, and in old files a value */
		if (value->kind == NODE_MAP && (key == NULL || key->type != KEY_MAP)) {
			mark_map(value, path, seen);
			continue;
		}
		mark(path, seen);
		if (value->kind == NODE_LIST && strncmp(path, "firewall", 8) == 0)
			mark_items(value, "firewall", seen);
		else if (value->kind == NODE_LIST && strncmp(path, "tun", 3) == 0)
			mark_items(value, path, seen);
		if (map->keys[i]->where.line != 0 && key->type != KEY_LIST &&
		    key->type != KEY_MAP && strcmp(path, "listen.port") != 0 &&
		    strcmp(path, "routines") != 0 && strcmp(path, "tun.dev") != 0 &&
		    strcmp(path, "m57.ctl") != 0 && /* named after the device */
		    strncmp(path, "pki.", 4) != 0)
			cr_assert(keys_is_default(key, value),
				  "the example's %s is not the default", path);
	}
}

/* Every key that works is in the example, and nothing else; values are the defaults. */
Test(config_example, has_every_key, .fini = fini)
{
	static const char *const old[] = {"tun.routines", "listen.routines", "firewall[].code",
					  "punchy", "punch_back"};
	struct arena arena = {0};
	char *text = example(true);
	const struct yaml_node *root = yaml_parse(EXAMPLE, text, strlen(text), &arena, &findings);
	bool *seen = calloc(keys_count, sizeof(*seen));

	cr_assert_not_null(root, "%s line %u", first(), findings.count ? findings.list[0].line : 0);
	mark_map(root, "", seen);
	for (size_t i = 0; i < sizeof(old) / sizeof(old[0]); i++)
		seen[keys_find(old[i]) - keys] = true;
	for (size_t i = 0; i < keys_count; i++)
		cr_assert(seen[i] || keys[i].effect != KEY_WORKS, "%s is not in the example",
			  keys[i].path);
	free(seen);
	accepted(text);
	arena_free(&arena);
}
