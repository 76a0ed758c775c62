/*
 * interface_pattern.c - see interface_pattern.h.
 *
 * Nebula compiles "^" + rule + "$". So an alternative at the top is bound at one end only:
 * "eth|br-x" matches each name that begins with "eth". As configurations are written for that, it
 * stays so.
 *
 * Where the two languages part, the C library takes the rule and means something else by it: \d is
 * a d there, a backslash between brackets is a backslash, and "+?" is "+" and then "?".
 */
#include "config/interface_pattern.h"

#include <string.h>

static bool is_letter_or_digit(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static char *put(char *to, const char *text)
{
	size_t length = strlen(text);

	memcpy(to, text, length);
	return to + length;
}

/* The character behind a backslash, outside of brackets. NULL: has no such form. */
static char *put_escaped(char *to, char c)
{
	switch (c) {
	case '\0':
		return NULL;
	case 'd':
		return put(to, "[0-9]");
	case 'D':
		return put(to, "[^0-9]");
	case '<': /* borders of words and of the text to glibc, none of them to Go */
		return put(to, "[<]");
	case '>':
		return put(to, "[>]");
	case '\'':
		return put(to, "[']");
	case '`':
		return put(to, "[`]");
	}
	if (is_letter_or_digit(c) && strchr("wWsSbB", c) == NULL)
		return NULL;
	*to++ = '\\';
	*to++ = c;
	return to;
}

/* The same between brackets, where each of these stands for itself in no other way. */
static char *put_member(char *to, char c)
{
	switch (c) {
	case 'd':
		return put(to, "0-9");
	case 'w':
		return put(to, "0-9A-Za-z_");
	case '-':
		return put(to, "[.-.]");
	case '.':
		return put(to, ".");
	}
	return NULL;
}

/* "[:digit:]" and the like, which are the same in both. NULL: not, or no end. */
static char *put_class(char *to, const char **rule)
{
	const char *end = strstr(*rule, ":]");
	size_t length = end != NULL ? (size_t)(end + 2 - *rule) : 0;

	if (length == 0 || (*rule)[1] != ':')
		return NULL;
	memcpy(to, *rule, length);
	*rule += length;
	return to + length;
}

/* From behind '[' to behind its ']'. NULL: has no such form, or no end. */
static char *put_brackets(char *to, const char **rule)
{
	const char *from = *rule;

	*to++ = '[';
	if (*from == '^')
		*to++ = *from++;
	for (const char *first = from; *from != ']' || from == first;) {
		if (*from == '[') {
			to = put_class(to, &from);
		} else if (*from == '\\') {
			to = put_member(to, from[1]);
			from += 2;
		} else {
			*to++ = *from++;
		}
		if (to == NULL || from[-1] == '\0')
			return NULL;
	}
	*to++ = ']';
	*rule = from + 1;
	return to;
}

bool interface_pattern(const char *rule, char pattern[INTERFACE_PATTERN_MAX])
{
	char *to = put(pattern, "^");

	if (strlen(rule) > INTERFACE_RULE_MAX || strstr(rule, "(?") != NULL ||
	    strstr(rule, "+?") != NULL || strstr(rule, "}?") != NULL)
		return false;
	for (const char *from = rule; to != NULL && *from;) {
		if (*from == '\\') {
			to = put_escaped(to, from[1]);
			from += 2;
		} else if (*from == '[') {
			from++;
			to = put_brackets(to, &from);
		} else {
			*to++ = *from++;
		}
	}
	if (to == NULL)
		return false;
	memcpy(to, "$", 2);
	return true;
}
