/* subject.c - name, networks and groups from flags; see subject.h. */
#include "cert_tool/subject.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "addr_text.h"

#define BLANKS " \t\r\n\v\f"

/*
 * Cuts a comma list into trimmed, non-blank items. They live in one block with the array that the
 * caller frees. NULL when out of memory.
 */
static const char **list_split(const char *text, size_t *count)
{
	size_t len = strlen(text), room = 1;
	const char **items;
	char *copy;

	for (const char *c = text; *c != '\0'; c++)
		room += *c == ',';
	*count = 0;
	items = malloc(room * sizeof(*items) + len + 1);
	if (items == NULL)
		return NULL;
	copy = (char *)(items + room);
	memcpy(copy, text, len + 1);

	for (char *item = copy, *next; item != NULL; item = next) {
		size_t item_len;

		next = strchr(item, ',');
		if (next != NULL)
			*next++ = '\0';
		item += strspn(item, BLANKS);
		item_len = strlen(item);
		while (item_len > 0 && strchr(BLANKS, item[item_len - 1]) != NULL)
			item[--item_len] = '\0';
		if (item_len > 0)
			items[(*count)++] = item;
	}
	return items;
}

/* kind: "ip" or "subnet", for the error text. */
static int networks_parse(const char *text, const char *kind, struct prefix **out, size_t *count,
			  char error[TOOL_TEXT_MAX])
{
	const char **items = list_split(text, count);
	int err = 0;

	if (items == NULL)
		return -ENOMEM;
	*out = calloc(*count + 1, sizeof(**out)); /* + 1: never calloc(0) */
	if (*out == NULL)
		err = -ENOMEM;
	for (size_t i = 0; err == 0 && i < *count; i++) {
		struct prefix *network = &(*out)[i];
		const char *problem = NULL;

		if (prefix_parse(items[i], network) != 0)
			problem = "invalid CIDR address:";
		else if (!addr_is_v4(&network->addr))
			problem = "can only be ipv4, have";
		if (problem != NULL) {
			snprintf(error, TOOL_TEXT_MAX, "invalid %s definition: %s %.300s", kind,
				 problem, items[i]);
			err = -EINVAL;
		}
	}
	if (err == 0 && *count > CERT_NETWORKS_MAX) {
		snprintf(error, TOOL_TEXT_MAX, "invalid %s definition: more than %d", kind,
			 CERT_NETWORKS_MAX);
		err = -EINVAL;
	}
	free(items);
	return err;
}

int subject_parse(const struct subject_text *text, struct subject *out, char error[TOOL_TEXT_MAX])
{
	int err;

	memset(out, 0, sizeof(*out));
	snprintf(error, TOOL_TEXT_MAX, "out of memory");
	out->name = text->name;
	if (strlen(text->name) > CERT_NAME_MAX) {
		snprintf(error, TOOL_TEXT_MAX, "-name is longer than %d bytes", CERT_NAME_MAX);
		return -EINVAL;
	}
	err = networks_parse(text->networks, "ip", &out->networks, &out->network_count, error);
	if (err == 0)
		err = networks_parse(text->unsafe_networks, "subnet", &out->unsafe_networks,
				     &out->unsafe_network_count, error);
	if (err != 0)
		return err;
	for (size_t i = 0; i < out->unsafe_network_count; i++)
		out->unsafe_networks[i] = prefix_masked(out->unsafe_networks[i]);

	out->groups = list_split(text->groups, &out->group_count);
	if (out->groups == NULL)
		return -ENOMEM;
	if (out->group_count > CERT_GROUPS_MAX) {
		snprintf(error, TOOL_TEXT_MAX, "-groups lists more than %d", CERT_GROUPS_MAX);
		return -EINVAL;
	}
	return 0;
}

void subject_free(struct subject *subject)
{
	free(subject->networks);
	free(subject->unsafe_networks);
	free(subject->groups);
}

void subject_apply(const struct subject *subject, struct cert *cert)
{
	cert->version = CERT_VERSION_1;
	cert->name = subject->name;
	cert->networks = subject->networks;
	cert->network_count = (uint16_t)subject->network_count;
	cert->unsafe_networks = subject->unsafe_networks;
	cert->unsafe_network_count = (uint16_t)subject->unsafe_network_count;
	cert->groups = subject->groups;
	cert->group_count = (uint16_t)subject->group_count;
}
