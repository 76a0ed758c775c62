/* yaml_test.c - YAML trees: aliases, merge keys, lenient values, bounds, several files. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/yaml.h"
#include "unit/temp_path.h"

TestSuite(yaml);

static struct arena arena;
static struct findings findings;

static const struct yaml_node *parse(const char *text)
{
	arena_free(&arena);
	findings_free(&findings);
	return yaml_parse("f.yml", text, strlen(text), &arena, &findings);
}

static void fini(void)
{
	arena_free(&arena);
	findings_free(&findings);
}

static struct yaml_node plain(const char *text)
{
	return (struct yaml_node){.kind = NODE_SCALAR, .plain = true, .text = text};
}

Test(yaml, lines_and_lookup, .fini = fini)
{
	const struct yaml_node *root =
		parse("tun:\n  dev: n1\n\n  mtu: 0x10\nlist:\n  - a\n  - b\n");

	cr_assert_not_null(root);
	cr_assert_str_eq(yaml_find(root, "tun.dev")->text, "n1");
	cr_assert_eq(yaml_find(root, "tun.mtu")->where.line, 4);
	cr_assert_str_eq(yaml_find(root, "tun.mtu")->where.file, "f.yml");
	cr_assert_eq(yaml_find(root, "list")->items[1]->where.line, 7);
	cr_assert_null(yaml_find(root, "tun.nothing"));
	cr_assert_null(yaml_find(root, "tun.dev.deeper"));
}

Test(yaml, empty_is_a_map, .fini = fini)
{
	static const char *const texts[] = {"", "\n", "# nothing\n", "---\n", "~\n"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const struct yaml_node *root = parse(texts[i]);

		cr_assert_not_null(root, "%s", texts[i]);
		cr_assert_eq(root->kind, NODE_MAP);
		cr_assert_eq(root->count, 0);
	}
}

Test(yaml, merge_keys_and_aliases, .fini = fini)
{
	const struct yaml_node *root = parse("base: &b {x: 1, y: 2}\n"
					     "more: &m {y: 3, z: 4}\n"
					     "one:\n  y: 9\n  <<: *b\n"
					     "two:\n  <<: [*b, *m]\n"
					     "same: *b\n"
					     "text: &t hello\n"
					     "also: *t\n");

	cr_assert_not_null(root);
	cr_assert_str_eq(yaml_find(root, "one.x")->text, "1");
	cr_assert_str_eq(yaml_find(root, "one.y")->text, "9");
	cr_assert_str_eq(yaml_find(root, "two.y")->text, "2");
	cr_assert_str_eq(yaml_find(root, "two.z")->text, "4");
	cr_assert_str_eq(yaml_find(root, "same.x")->text, "1");
	cr_assert_str_eq(yaml_find(root, "also")->text, "hello");
	cr_assert_null(yaml_find(root, "one.<<"));
	cr_assert_eq(yaml_find(root, "two")->count, 3);
}

Test(yaml, refused, .fini = fini)
{
	static const struct {
		const char *text;
		uint32_t line;
		const char *says;
	} cases[] = {
		{"a: 1\nb: 2\na: 3\n", 3, "already defined at line 1"},
		{"a: *nobody\n", 1, "unknown anchor"},
		{"a: &x\n  b: *x\n", 2, "contains itself"},
		{"- a\n- b\n", 1, "map of keys"},
		{"text\n", 1, "map of keys"},
		{"a: [1, 2\nb: 3\n", 2, "not valid YAML"},
		{"a: 1\n  b: 2\n", 2, "not valid YAML"},
		{"a:\n\tb: 1\n", 2, "not valid YAML"},
		{"? [a, b]\n: 1\n", 1, "as a key"},
		{"a:\n  <<: 5\n", 2, "merge key"},
		{"a: \"x\\0y\"\n", 1, "zero byte"},
		{"a: \xff\xfe\n", 1, "not valid YAML"},
		{"a: 1\nb: [2]\nc: K\xf6ln\nd: 1\n", 3, "write this line in UTF-8"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_assert_null(parse(cases[i].text), "%s", cases[i].text);
		cr_assert_eq(findings.errors, 1, "%s", cases[i].text);
		cr_assert(strstr(findings.list[0].text, cases[i].says) != NULL, "%s: %s",
			  cases[i].text, findings.list[0].text);
		cr_assert_eq(findings.list[0].line, cases[i].line, "%s: line %u", cases[i].text,
			     findings.list[0].line);
	}
}

Test(yaml, second_document, .fini = fini)
{
	const struct yaml_node *root = parse("a: 1\n---\nb: 2\n");

	cr_assert_not_null(root);
	cr_assert_null(yaml_find(root, "b"));
	cr_assert_eq(findings.warnings, 1);
	cr_assert_eq(findings.list[0].line, 2);
	cr_assert_not_null(parse("---\na: 1\n...\n"));
	cr_assert_eq(findings.count, 0);
	cr_assert_not_null(parse("a: 1\n--- [\n"));
}

Test(yaml, billion_laughs, .fini = fini)
{
	char text[2048] = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";

	for (int i = 1; i < 12; i++)
		sprintf(text + strlen(text),
			"a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i,
			i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
	cr_assert_null(parse(text));
	cr_assert_eq(findings.errors, 1);
	cr_assert(strstr(findings.list[0].text, "aliases written out"));
}

Test(yaml, depth_and_size, .fini = fini)
{
	char *deep = calloc(1, 1000);
	char *wide = calloc(1, 2 * CONFIG_NODES_MAX + 100);

	strcpy(deep, "a: ");
	memset(deep + 3, '[', CONFIG_DEPTH_MAX - 1);
	memset(deep + 3 + CONFIG_DEPTH_MAX - 1, ']', CONFIG_DEPTH_MAX - 1);
	cr_assert_not_null(parse(deep));
	memset(deep + 3, '[', CONFIG_DEPTH_MAX);
	memset(deep + 3 + CONFIG_DEPTH_MAX, ']', CONFIG_DEPTH_MAX);
	cr_assert_null(parse(deep));
	cr_assert(strstr(findings.list[0].text, "inside each other"));

	strcpy(wide, "a: [");
	for (int i = 0; i < CONFIG_NODES_MAX; i++)
		strcpy(wide + 4 + 2 * i, "1,");
	strcat(wide + 2 * CONFIG_NODES_MAX, "1]");
	cr_assert_null(parse(wide));
	cr_assert(strstr(findings.list[0].text, "values"));
	free(deep);
	free(wide);
}

Test(yaml, bools)
{
	static const struct {
		const char *text;
		int expect; /* -1: none */
	} cases[] = {
		{"true", 1},   {"True", 1},  {"TRUE", 1}, {"t", 1},     {"T", 1},  {"1", 1},
		{"y", 1},      {"YES", 1},   {"yes", 1},  {"false", 0}, {"F", 0},  {"0", 0},
		{"n", 0},      {"No", 0},    {"on", -1},  {"off", -1},  {"2", -1}, {"", -1},
		{"maybe", -1}, {"yess", -1}, {"0x1", 1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct yaml_node node = plain(cases[i].text);
		bool value = false;
		int err = yaml_bool(&node, &value);

		cr_assert_eq(err == 0 ? value : -1, cases[i].expect, "%s", cases[i].text);
	}
}

Test(yaml, ints)
{
	static const struct {
		const char *text;
		bool quoted, ok;
		int64_t value;
	} cases[] = {
		{"16", false, true, 16},
		{"0x10", false, true, 16},
		{"0x10", true, false, 0},
		{"4242", true, true, 4242},
		{"-5", false, true, -5},
		{"+5", false, true, 5},
		{"0o17", false, true, 15},
		{"017", false, true, 15},
		{"0b11", false, true, 3},
		{"1_000", false, true, 1000},
		{"1_000", true, false, 0},
		{"1.0", false, true, 1},
		{"1.5", false, false, 0},
		{"1e3", false, true, 1000},
		{"080", false, true, 80},
		{"abc", false, false, 0},
		{"", false, false, 0},
		{"12x", false, false, 0},
		{"99999999999999999999", false, false, 0},
		{"-", false, false, 0},
		{"0x", false, false, 0},
		{"9223372036854775807", false, true, INT64_MAX},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct yaml_node node = plain(cases[i].text);
		int64_t value = 0;

		node.plain = !cases[i].quoted;
		cr_assert_eq(yaml_int(&node, &value) == 0, cases[i].ok, "%s", cases[i].text);
		cr_assert_eq(value, cases[i].value, "%s: %lld", cases[i].text, (long long)value);
	}
}

Test(yaml, durations)
{
	static const struct {
		const char *text;
		bool ok;
		int64_t value;
	} cases[] = {
		{"500ms", true, 500000000},
		{"1m30s", true, 90000000000},
		{"1.5h", true, 5400000000000},
		{"10ns", true, 10},
		{"3us", true, 3000},
		{"3\xc2\xb5s", true, 3000},
		{"-2s", true, -2000000000},
		{"0", true, 0},
		{".5s", true, 500000000},
		{"5", false, 0},
		{"", false, 0},
		{"s", false, 0},
		{"5 s", false, 0},
		{"5d", false, 0},
		{".s", false, 0},
		{"99999999999h", false, 0},
		{"1m 30s", false, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct yaml_node node = plain(cases[i].text);
		int64_t value = 0;

		cr_assert_eq(yaml_duration(&node, &value) == 0, cases[i].ok, "%s", cases[i].text);
		cr_assert_eq(value, cases[i].value, "%s: %lld", cases[i].text, (long long)value);
	}
}

Test(yaml, empty_values)
{
	static const struct {
		const char *text;
		bool quoted, empty;
	} cases[] = {
		{"0", false, true},     {"false", false, true}, {"", false, true},
		{"", true, true},       {"null", false, true},  {"~", false, true},
		{"0x0", false, true},   {"0.0", false, true},   {"0", true, false},
		{"false", true, false}, {"null", true, false},  {"1", false, false},
		{"no", false, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct yaml_node node = plain(cases[i].text);

		node.plain = !cases[i].quoted;
		cr_assert_eq(yaml_is_empty(&node), cases[i].empty, "%s", cases[i].text);
	}
}

Test(yaml, text_as_go_prints, .fini = fini)
{
	static const struct {
		const char *text, *expect;
	} cases[] = {{"0x10", "16"}, {"True", "true"}, {"1.0", "1"},   {"null", "<nil>"},
		     {"", "<nil>"},  {"022", "18"},    {"abc", "abc"}, {"1.5", "1.5"}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct yaml_node node = plain(cases[i].text);

		cr_assert_str_eq(yaml_text(&node, &arena), cases[i].expect);
	}
}

/* --- several files ---------------------------------------------------------------------------- */

static void write_file(const char *folder, const char *name, const char *text)
{
	char path[512];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	out = fopen(path, "w");
	cr_assert_not_null(out);
	fputs(text, out);
	fclose(out);
}

static char folder[TEMP_PATH_MAX];

static void make_folder(void)
{
	char path[128];

	temp_path(folder, "yaml-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/sub", folder);
	cr_assert_eq(mkdir(path, 0700), 0);
}

static void remove_folder(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", folder);
	cr_assert_eq(system(command), 0);
	fini();
}

Test(yaml, folder_in_name_order, .init = make_folder, .fini = remove_folder)
{
	const struct yaml_node *root;

	write_file(folder, "10.yml",
		   "a: 1\nport: 5\nlist: [one]\nm: {x: 1, y: 2}\nkeep: yes\nq: 7\n");
	write_file(folder, "20.yaml",
		   "a: 2\nport: 0\nlist: [two]\nm: {x: 3}\nkeep: false\nq: \"0\"\n");
	write_file(folder, "30.txt", "a: [not, read\n");
	write_file(folder, "sub/05.yml", "a: 3\nlist: [three]\n");
	root = yaml_load(folder, &arena, &findings);
	cr_assert_not_null(root);
	cr_assert_eq(findings.errors, 0);
	cr_assert_str_eq(yaml_find(root, "a")->text, "3", "sub/05.yml comes after 20.yaml");
	cr_assert_str_eq(yaml_find(root, "port")->text, "5", "0 does not override");
	cr_assert_str_eq(yaml_find(root, "keep")->text, "yes", "false does not override");
	cr_assert_str_eq(yaml_find(root, "q")->text, "0", "a quoted 0 is a text and does");
	cr_assert_str_eq(yaml_find(root, "m.x")->text, "3");
	cr_assert_str_eq(yaml_find(root, "m.y")->text, "2");
	cr_assert_eq(yaml_find(root, "list")->count, 3);
	cr_assert_str_eq(yaml_find(root, "list")->items[0]->text, "three", "later files first");
	cr_assert_str_eq(yaml_find(root, "list")->items[2]->text, "one");
	cr_assert(strstr(yaml_find(root, "m.y")->where.file, "10.yml"));
}

Test(yaml, files_that_do_not_fit, .init = make_folder, .fini = remove_folder)
{
	write_file(folder, "10.yml", "a: {x: 1}\n");
	write_file(folder, "20.yml", "\na: [1]\n");
	cr_assert_null(yaml_load(folder, &arena, &findings));
	cr_assert_eq(findings.list[0].line, 2);
	cr_assert(strstr(findings.list[0].text, "10.yml line 1"));
}

Test(yaml, unreadable, .init = make_folder, .fini = remove_folder)
{
	char path[128];

	cr_assert_null(yaml_load("/nonexistent/config.yml", &arena, &findings));
	cr_assert(strstr(findings.list[0].text, "No such file"));
	snprintf(path, sizeof(path), "%s/sub", folder);
	cr_assert_null(yaml_load(path, &arena, &findings));
	cr_assert(strstr(findings.list[1].text, "no .yaml or .yml file"));
	cr_assert_null(yaml_load("/dev/zero", &arena, &findings));
	cr_assert(strstr(findings.list[2].text, "larger than"), "%s", findings.list[2].text);
	/* a folder that holds itself */
	snprintf(path, sizeof(path), "%s/sub/loop", folder);
	cr_assert_eq(symlink("..", path), 0);
	cr_assert_null(yaml_load(folder, &arena, &findings));
	cr_assert(strstr(findings.list[3].text, "deep"), "%s", findings.list[3].text);
}

/* What an editor or somebody else has left beside the files must not stop the node. */
Test(yaml, links_to_nothing, .init = make_folder, .fini = remove_folder)
{
	static const char *const passed_over[] = {"sub/current", ".#10.yml"};
	char path[128];

	write_file(folder, "10.yml", "a: 1\n");
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, passed_over[i]);
		cr_assert_eq(symlink("nowhere", path), 0);
	}
	cr_assert_not_null(yaml_load(folder, &arena, &findings));
	cr_assert_eq(findings.errors, 0, "%s", findings.list[0].text);
	cr_assert_eq(findings.warnings, 2);
	cr_assert(strstr(findings.list[0].text, "passed over"), "%s", findings.list[0].text);
	/* but a configuration that is missing does */
	snprintf(path, sizeof(path), "%s/20.yml", folder);
	cr_assert_eq(symlink("nowhere", path), 0);
	cr_assert_null(yaml_load(folder, &arena, &findings));
	cr_assert_eq(findings.errors, 1);
}

static struct {
	int fd; /* has a lease on 10.yml: who opens it waits until it is given up */
	char gone[128];
} leased;

static void on_open(int signal)
{
	unlink(leased.gone);
	fcntl(leased.fd, F_SETLEASE, F_UNLCK);
}

/* A file that a tool had there for a moment, gone when its turn comes, does not stop the rest. */
Test(yaml, a_file_that_goes_meanwhile, .init = make_folder, .fini = remove_folder, .timeout = 30)
{
	struct sigaction action = {.sa_handler = on_open, .sa_flags = SA_RESTART};
	const struct yaml_node *tree;
	char path[128];

	write_file(folder, "10.yml", "a: 1\n");
	write_file(folder, "20.yml", "a: 2\n");
	snprintf(path, sizeof(path), "%s/10.yml", folder);
	snprintf(leased.gone, sizeof(leased.gone), "%s/20.yml", folder);
	leased.fd = open(path, O_RDWR | O_CLOEXEC);
	sigaction(SIGIO, &action, NULL);
	if (fcntl(leased.fd, F_SETLEASE, F_WRLCK) != 0)
		cr_skip("needs leases of files");
	tree = yaml_load(folder, &arena, &findings);
	close(leased.fd);
	cr_assert(tree, "%s", findings.list[0].text);
	cr_assert_neq(access(leased.gone, F_OK), 0);
	cr_assert_eq(findings.errors + findings.warnings, 0);
	cr_assert_str_eq(yaml_get(tree, "a")->text, "1");
}

/* Nobody writes to it: opening it would wait for ever. */
Test(yaml, a_folder_holds_files, .init = make_folder, .fini = remove_folder, .timeout = 10)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/10.yml", folder);
	cr_assert_eq(mkfifo(path, 0600), 0);
	cr_assert_null(yaml_load(folder, &arena, &findings));
	cr_assert(strstr(findings.list[0].text, "not a file"), "%s", findings.list[0].text);
}
