/*
 * interface_rule.c - see interface_rule.h.
 *
 * Nebula compiles "^" + text + "$". So an alternative at the top is bound at one end only:
 * "eth|br-x" holds for each name that begins with "eth". As configurations are written for that, it
 * stays so.
 */
#include "peers/interface_rule.h"

#include <stdio.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* "$" is the end alone and "." a character, as in Go. */
#define OPTIONS (PCRE2_DOLLAR_ENDONLY | PCRE2_UTF)

struct interface_rule *interface_rule_compile(const char *text, char *why, size_t why_bytes)
{
	char pattern[INTERFACE_RULE_MAX + sizeof("^$")];
	PCRE2_SIZE at;
	int error;

	if (strlen(text) > INTERFACE_RULE_MAX) {
		snprintf(why, why_bytes, "longer than %d bytes", INTERFACE_RULE_MAX);
		return NULL;
	}
	snprintf(pattern, sizeof(pattern), "^%s$", text);
	pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, OPTIONS,
					 &error, &at, NULL);
	if (code == NULL)
		pcre2_get_error_message(error, (PCRE2_UCHAR *)why, why_bytes);
	return (struct interface_rule *)code;
}

void interface_rule_free(struct interface_rule *rule)
{
	pcre2_code_free((pcre2_code *)rule);
}

int interface_rule_matches(const struct interface_rule *rule, const char *name)
{
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);

	if (data == NULL)
		return -1;
	int result = pcre2_match((const pcre2_code *)rule, (PCRE2_SPTR)name, strlen(name), 0, 0,
				 data, NULL);
	pcre2_match_data_free(data);
	if (result == PCRE2_ERROR_NOMATCH)
		return 0;
	return result >= 0 ? 1 : -1;
}
