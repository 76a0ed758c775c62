/* shell.h - for tests in a network namespace of their own: what a command prints, and prefixes. */
#ifndef M57_TEST_SHELL_H
#define M57_TEST_SHELL_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "addr_text.h"

static inline struct prefix prefix(const char *text)
{
	struct prefix p;

	cr_assert_eq(prefix_parse(text, &p), 0, "%s", text);
	return p;
}

/* Output of a command in this network namespace; until the next call. */
static inline const char *shell(const char *command)
{
	static char text[8192];
	FILE *pipe = popen(command, "r");
	size_t got = pipe ? fread(text, 1, sizeof(text) - 1, pipe) : 0;

	text[got] = '\0';
	if (pipe)
		pclose(pipe);
	return text;
}

static inline void has(const char *text, const char *part)
{
	cr_assert(strstr(text, part), "no \"%s\" in:\n%s", part, text);
}

static inline void hasnt(const char *text, const char *part)
{
	cr_assert_not(strstr(text, part), "\"%s\" in:\n%s", part, text);
}

#endif
