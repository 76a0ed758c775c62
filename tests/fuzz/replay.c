/*
 * replay.c - runs a fuzz target over its corpus without libFuzzer: every file as it is, cut at
 * every byte, and with every byte changed in four ways (evenly spread when there are too many).
 * A target that finds something wrong aborts, and the file and the change are named.
 *
 *	build/tests/fuzz/NAME tests/fuzz/corpus/NAME
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "fuzz.h"

#define INPUT_MAX   (64u << 10) /* bytes of one file */
#define CHANGES_MAX 4000        /* of one file */
#define FLIP_KINDS  4

static char where[4200];

static void say_where(int number)
{
	(void)!write(STDERR_FILENO, where, strlen(where));
	signal(number, SIG_DFL);
	raise(number);
}

static void run(const uint8_t *data, size_t size)
{
	uint8_t *exact = fuzz_exact(data, size);

	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
}

static void run_file(const char *path)
{
	static const uint8_t flips[FLIP_KINDS] = {0xff, 0x01, 0x80, 0x08};
	static uint8_t data[INPUT_MAX];
	FILE *file = fopen(path, "rb");
	size_t size, changes, step;

	fuzz_check(file != NULL);
	size = fread(data, 1, sizeof(data), file);
	fclose(file);
	snprintf(where, sizeof(where), "%s as it is\n", path);
	run(data, size);
	changes = size * (1 + FLIP_KINDS);
	step = changes / CHANGES_MAX + 1;
	for (size_t i = 0; i < changes; i += step) {
		size_t at = i / (1 + FLIP_KINDS), kind = i % (1 + FLIP_KINDS);

		if (kind == 0) {
			snprintf(where, sizeof(where), "%s cut at byte %zu\n", path, at);
			run(data, at);
			continue;
		}
		snprintf(where, sizeof(where), "%s with byte %zu ^ 0x%02x\n", path, at,
			 flips[kind - 1]);
		data[at] ^= flips[kind - 1];
		run(data, size);
		data[at] ^= flips[kind - 1];
	}
}

int main(int argc, char **argv)
{
	char path[4096];
	struct dirent *entry;
	unsigned files = 0;
	DIR *folder;

	if (argc != 2 || !(folder = opendir(argv[1]))) {
		fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
		return 2;
	}
	signal(SIGABRT, say_where);
	signal(SIGSEGV, say_where);
	while ((entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", argv[1], entry->d_name);
		run_file(path);
		files++;
	}
	closedir(folder);
	printf("%u files\n", files);
	return files == 0;
}
