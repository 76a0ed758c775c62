/* main.c - runs the tests that were linked in, all of them or those named: SUITE/NAME
 * (criterion.h).
 */
#include <criterion/criterion.h>
#include <stdbool.h>

struct tsan_test *tsan_tests;

static bool wanted(const struct tsan_test *test, const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], test->suite) == 0 || strcmp(argv[i], name) == 0)
			return true;
	return argc == 1;
}

int main(int argc, char **argv)
{
	char name[256];
	unsigned ran = 0;

	for (struct tsan_test *test = tsan_tests; test; test = test->next) {
		snprintf(name, sizeof(name), "%s/%s", test->suite, test->name);
		if (!wanted(test, name, argc, argv))
			continue;
		fprintf(stderr, "%s\n", name);
		test->body();
		ran++;
	}
	printf("%u passed, %d failed, 0 skipped\n", ran, ran == 0);
	return ran == 0;
}
