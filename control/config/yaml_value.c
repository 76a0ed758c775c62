/*
 * yaml_value.c - scalars as bools, numbers and durations, as lenient as Nebula reads them
 * (PROTOCOL.md 9.1).
 *
 * Nebula prints the decoded YAML value and parses the print. So a plain 0x10 is the integer 16 and
 * reads as "16", a quoted "0x10" stays as it is and is no integer.
 */
#include "config/yaml.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words != NULL; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

bool yaml_is_null(const struct yaml_node *node)
{
	static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};

	return node == NULL ||
	       (node->kind == NODE_SCALAR && node->plain && is_one_of(node->text, words));
}

bool yaml_equal(const struct yaml_node *a, const struct yaml_node *b)
{
	if (yaml_is_null(a) || yaml_is_null(b))
		return yaml_is_null(a) && yaml_is_null(b);
	if (a->kind != b->kind || a->count != b->count)
		return false;
	if (a->kind == NODE_SCALAR)
		return strcmp(a->text, b->text) == 0;
	for (uint32_t i = 0; i < a->count; i++)
		if ((a->kind == NODE_MAP && strcmp(a->keys[i]->text, b->keys[i]->text) != 0) ||
		    !yaml_equal(a->items[i], b->items[i]))
			return false;
	return true;
}

/* A YAML integer: decimal, 0x, 0o, 0b, octal with a leading zero, underscores between digits. */
static bool plain_integer(const struct yaml_node *node, int64_t *out)
{
	char digits[72], *end;
	const char *at = node->text;
	bool negative = *at == '-';
	size_t len = 0;
	int base = 10;
	unsigned long long value;

	if (!node->plain)
		return false;
	if (*at == '-' || *at == '+')
		at++;
	if (*at < '0' || *at > '9')
		return false;
	if (*at == '0' && at[1] != '\0') {
		base = 8;
		at++;
		if (*at == 'x' || *at == 'X')
			base = 16;
		else if (*at == 'b' || *at == 'B')
			base = 2;
		if (*at == 'x' || *at == 'X' || *at == 'b' || *at == 'B' || *at == 'o' ||
		    *at == 'O')
			at++;
	}
	for (; *at != '\0' && len < sizeof(digits) - 1; at++)
		if (*at != '_')
			digits[len++] = *at;
	digits[len] = '\0';
	if (*at != '\0' || len == 0 || strspn(digits, "0123456789abcdefABCDEF") != len)
		return false;
	errno = 0;
	value = strtoull(digits, &end, base);
	if (*end != '\0' || errno != 0 || value > INT64_MAX)
		return false;
	*out = negative ? -(int64_t)value : (int64_t)value;
	return true;
}

/* A YAML float, which is what a number that is no integer turns into: 1.5, 1e3, 0080. */
static bool plain_float(const struct yaml_node *node, double *out)
{
	const char *digits = node->text + (*node->text == '-' || *node->text == '+');
	char *end;

	if (!node->plain || strspn(digits, "0123456789.eE+-") != strlen(digits) ||
	    strspn(digits, "0123456789") == 0)
		return false;
	*out = strtod(node->text, &end);
	return *end == '\0' && __builtin_isfinite(*out);
}

static bool is_whole(double real)
{
	return real > -1e18 && real < 1e18 && real == (double)(int64_t)real;
}

static bool plain_bool(const struct yaml_node *node, bool *out)
{
	static const char *const yes[] = {"true", "True", "TRUE", NULL};
	static const char *const no[] = {"false", "False", "FALSE", NULL};

	*out = is_one_of(node->text, yes);
	return node->plain && (*out || is_one_of(node->text, no));
}

bool yaml_is_empty(const struct yaml_node *node)
{
	int64_t integer;
	double real;
	bool truth;

	if (yaml_is_null(node))
		return true;
	if (node->kind != NODE_SCALAR)
		return node->count == 0;
	if (node->text[0] == '\0')
		return true;
	if (plain_integer(node, &integer))
		return integer == 0;
	if (plain_float(node, &real))
		return real == 0;
	return plain_bool(node, &truth) && !truth;
}

const char *yaml_text(const struct yaml_node *node, struct arena *arena)
{
	int64_t integer;
	double real;
	bool truth;
	char buf[32];

	if (yaml_is_null(node))
		return "<nil>";
	if (node->kind != NODE_SCALAR)
		return NULL;
	if (plain_integer(node, &integer))
		snprintf(buf, sizeof(buf), "%lld", (long long)integer);
	else if (plain_float(node, &real) && is_whole(real))
		snprintf(buf, sizeof(buf), "%lld", (long long)real);
	else if (plain_bool(node, &truth))
		snprintf(buf, sizeof(buf), "%s", truth ? "true" : "false");
	else
		return node->text;
	return arena_text(arena, buf, strlen(buf));
}

int yaml_bool(const struct yaml_node *node, bool *out)
{
	static const char *const yes[] = {"true", "1", "t", "y", "yes", NULL};
	static const char *const no[] = {"false", "0", "f", "n", "no", NULL};
	char lower[8];
	int64_t integer;
	size_t len;

	if (node == NULL || node->kind != NODE_SCALAR)
		return -EINVAL;
	if (plain_integer(node, &integer)) {
		if (integer != 0 && integer != 1)
			return -EINVAL;
		*out = integer == 1;
		return 0;
	}
	len = strlen(node->text);
	if (len >= sizeof(lower))
		return -EINVAL;
	for (size_t i = 0; i <= len; i++)
		lower[i] = node->text[i] >= 'A' && node->text[i] <= 'Z'
				   ? (char)(node->text[i] - 'A' + 'a')
				   : node->text[i];
	if (!is_one_of(lower, yes) && !is_one_of(lower, no))
		return -EINVAL;
	*out = is_one_of(lower, yes);
	return 0;
}

int yaml_int(const struct yaml_node *node, int64_t *out)
{
	long long value;
	double real;
	char *end;

	if (node == NULL || node->kind != NODE_SCALAR)
		return -EINVAL;
	if (plain_integer(node, out))
		return 0;
	if (plain_float(node, &real)) {
		if (!is_whole(real))
			return -EINVAL;
		*out = (int64_t)real;
		return 0;
	}
	/* a quoted number is decimal */
	if (node->text[0] == '\0' || strspn(node->text, "+-0123456789") != strlen(node->text))
		return -EINVAL;
	errno = 0;
	value = strtoll(node->text, &end, 10);
	if (*end != '\0' || errno != 0)
		return -EINVAL;
	*out = value;
	return 0;
}

/* The unit at *at, moved behind it; nanoseconds, or 0. */
static double duration_unit(const char **at)
{
	static const struct {
		const char *name;
		double nanoseconds;
	} units[] = {
		/* longer names first: "ms" is not "m" */
		{"ns", 1},          {"us", 1e3}, {"\xc2\xb5s", 1e3}, /* micro sign */
		{"\xce\xbcs", 1e3},                                  /* Greek mu */
		{"ms", 1e6},        {"s", 1e9},  {"m", 60e9},        {"h", 3600e9},
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		size_t len = strlen(units[i].name);

		if (strncmp(*at, units[i].name, len) == 0) {
			*at += len;
			return units[i].nanoseconds;
		}
	}
	return 0;
}

int yaml_duration(const struct yaml_node *node, int64_t *nanoseconds)
{
	const char *at;
	double total = 0;
	bool negative;

	if (node == NULL || node->kind != NODE_SCALAR)
		return -EINVAL;
	at = node->text;
	negative = *at == '-';
	if (*at == '-' || *at == '+')
		at++;
	if (strcmp(at, "0") == 0) {
		*nanoseconds = 0;
		return 0;
	}
	if (*at == '\0')
		return -EINVAL;
	while (*at != '\0') {
		size_t digits = strspn(at, "0123456789");
		size_t fraction = at[digits] == '.' ? 1 + strspn(at + digits + 1, "0123456789") : 0;
		char number[48];
		double unit;

		if (digits + fraction >= sizeof(number) || (digits == 0 && fraction < 2))
			return -EINVAL;
		memcpy(number, at, digits + fraction);
		number[digits + fraction] = '\0';
		at += digits + fraction;
		unit = duration_unit(&at);
		if (unit == 0)
			return -EINVAL;
		total += strtod(number, NULL) * unit;
	}
	if (total > 9.2e18)
		return -EINVAL;
	*nanoseconds = negative ? -(int64_t)total : (int64_t)total;
	return 0;
}
