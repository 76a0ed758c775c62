/* flags.c - Go-style flags; see flags.h. */
#include "cert_tool/flags.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- durations ------------------------------------------------------------------------------- */

/* The unit at *text in ns, 0 if there is none; moves *text behind it. */
static int64_t unit_parse(const char **text)
{
	static const struct {
		const char *name;
		int64_t ns;
	} units[] = {/* longer names before their beginnings */
		     {"ns", 1},           {"us", 1000},      {"\xc2\xb5s", 1000}, /* micro sign */
		     {"\xce\xbcs", 1000},                                         /* Greek mu */
		     {"ms", 1000000},     {"s", 1000000000}, {"m", 60000000000},
		     {"h", 3600000000000}};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		size_t len = strlen(units[i].name);

		if (strncmp(*text, units[i].name, len) == 0) {
			*text += len;
			return units[i].ns;
		}
	}
	return 0;
}

/* One "number unit" of a duration, added to *ns. */
static int part_parse(const char **text, uint64_t *ns)
{
	const char *start = *text;
	uint64_t whole = 0, fraction = 0, scale = 1;
	int64_t unit;
	bool digits = false;

	for (; **text >= '0' && **text <= '9'; ++*text, digits = true)
		if (__builtin_mul_overflow(whole, 10u, &whole) ||
		    __builtin_add_overflow(whole, (uint64_t)(**text - '0'), &whole))
			return -EINVAL;
	if (**text == '.') {
		for (++*text; **text >= '0' && **text <= '9'; ++*text, digits = true) {
			if (scale >= 1000000000000000ull)
				continue; /* digits that no unit can show */
			fraction = fraction * 10 + (uint64_t)(**text - '0');
			scale *= 10;
		}
	}
	if (!digits || *text == start)
		return -EINVAL;
	unit = unit_parse(text);
	if (unit == 0 || __builtin_mul_overflow(whole, (uint64_t)unit, &whole) ||
	    __builtin_add_overflow(
		    whole, (uint64_t)((double)fraction * ((double)unit / (double)scale)), &whole) ||
	    __builtin_add_overflow(*ns, whole, ns) || *ns > INT64_MAX)
		return -EINVAL;
	return 0;
}

int duration_parse(const char *text, int64_t *ns)
{
	bool negative = text[0] == '-';
	uint64_t sum = 0;

	if (text[0] == '-' || text[0] == '+')
		text++;
	if (strcmp(text, "0") == 0) {
		*ns = 0;
		return 0;
	}
	do {
		if (part_parse(&text, &sum) != 0)
			return -EINVAL;
	} while (*text != '\0');
	*ns = negative ? -(int64_t)sum : (int64_t)sum;
	return 0;
}

/* --- flags ----------------------------------------------------------------------------------- */

static bool bool_parse(const char *text, bool *out)
{
	static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
	static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
			*out = strcmp(text, yes[i]) == 0;
			return true;
		}
	}
	return false;
}

static bool uint_parse(const char *text, uint64_t *out)
{
	unsigned long long value;
	char *end;
	int base = 0;

	if (text[0] < '0' || text[0] > '9')
		return false;
	if (text[0] == '0' && (text[1] == 'b' || text[1] == 'o')) {
		base = text[1] == 'b' ? 2 : 8;
		text += 2;
	}
	errno = 0;
	value = strtoull(text, &end, base);
	if (errno != 0 || *end != '\0' || end == text)
		return false;
	*out = value;
	return true;
}

/* Stores text as the flag's value; false if it is none. */
static bool flag_set(const struct flag *flag, const char *text)
{
	switch (flag->kind) {
	case FLAG_STRING:
		*(const char **)flag->value = text;
		return true;
	case FLAG_BOOL:
		return bool_parse(text, flag->value);
	case FLAG_UINT:
		return uint_parse(text, flag->value);
	case FLAG_DURATION:
		return duration_parse(text, flag->value) == 0;
	}
	return false;
}

static const struct flag *flag_find(const struct flag *flags, size_t count, const char *name,
				    size_t len)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(flags[i].name) == len && memcmp(flags[i].name, name, len) == 0)
			return &flags[i];
	return NULL;
}

enum flags_result flags_parse(const struct flag *flags, size_t count, int argc, char **argv,
			      char *error, size_t error_size)
{
	for (int i = 0; i < argc; i++) {
		const char *argument = argv[i], *name, *value;
		const struct flag *flag;
		size_t len;

		if (argument[0] != '-' || argument[1] == '\0' || strcmp(argument, "--") == 0)
			return FLAGS_OK;
		name = argument + (argument[1] == '-' ? 2 : 1);
		len = strcspn(name, "=");
		value = name[len] == '=' ? name + len + 1 : NULL;
		if (len == 0 || name[0] == '-') {
			snprintf(error, error_size, "bad flag syntax: %s", argument);
			return FLAGS_ERROR;
		}
		flag = flag_find(flags, count, name, len);
		if (flag == NULL &&
		    ((len == 1 && name[0] == 'h') || (len == 4 && memcmp(name, "help", 4) == 0)))
			return FLAGS_HELP;
		if (flag == NULL) {
			snprintf(error, error_size, "flag provided but not defined: -%.*s",
				 (int)len, name);
			return FLAGS_ERROR;
		}
		if (value == NULL && flag->kind == FLAG_BOOL)
			value = "true";
		if (value == NULL && i + 1 < argc)
			value = argv[++i];
		if (value == NULL) {
			snprintf(error, error_size, "flag needs an argument: -%s", flag->name);
			return FLAGS_ERROR;
		}
		if (!flag_set(flag, value)) {
			snprintf(error, error_size,
				 flag->kind == FLAG_BOOL
					 ? "invalid boolean value \"%s\" for -%s: parse error"
					 : "invalid value \"%s\" for flag -%s: parse error",
				 value, flag->name);
			return FLAGS_ERROR;
		}
	}
	return FLAGS_OK;
}

void flags_print(const struct flag *flags, size_t count)
{
	static const char *const types[] = {[FLAG_STRING] = " string",
					    [FLAG_BOOL] = "",
					    [FLAG_UINT] = " uint",
					    [FLAG_DURATION] = " duration"};

	for (size_t i = 0; i < count; i++) {
		if (flags[i].usage == NULL)
			continue;
		fprintf(stderr, "  -%s%s\n    \t%s", flags[i].name, types[flags[i].kind],
			flags[i].usage);
		if (flags[i].shown_default != NULL)
			fprintf(stderr, " (default %s)", flags[i].shown_default);
		fputc('\n', stderr);
	}
}
