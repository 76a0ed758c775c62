/*
 * config_fuzz.c - libFuzzer target: a configuration file, from YAML to the typed structure (make
 * fuzz T=config). Whatever stands in it: findings with a place, or a configuration that can be
 * freed; nothing read beyond the text.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/config.h"
#include "config/yaml.h"
#include "fuzz.h"

/* The file that config_load() is given; it reads what was written last. */
static const char *write_file(const uint8_t *data, size_t size)
{
	static char path[64];
	static int fd = -1;

	if (fd < 0) {
		fd = memfd_create("config.yml", 0);
		fuzz_check(fd >= 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	fuzz_check(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
	return path;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct findings findings = {0};
	struct arena arena = {0};
	uint8_t *exact = fuzz_exact(data, size);
	const struct yaml_node *root =
		yaml_parse("fuzz", (const char *)exact, size, &arena, &findings);

	fuzz_check(root || findings.errors > 0);
	fuzz_check(!root || (root->kind == NODE_MAP && root->weight <= CONFIG_NODES_MAX));
	arena_free(&arena);
	free(exact);
	findings_free(&findings);
	if (root) {
		findings = (struct findings){0};
		config_free(config_load(write_file(data, size), &findings));
		findings_free(&findings);
	}
	return 0;
}
