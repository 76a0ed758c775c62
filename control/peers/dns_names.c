/* dns_names.c - see dns_names.h. */
#include "peers/dns_names.h"

#include <stdlib.h>
#include <string.h>

#include "limits.h"

/* FNV-1a. Strangers choose what is looked for, but only the CA what is in the table. */
static uint64_t hash_of(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325ull;

	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * 0x100000001b3ull;
	return hash ^ hash >> 32;
}

int dns_names_init(struct dns_names *names)
{
	return table_init(&names->table);
}

static void forget(struct dns_names *names, struct dns_name *name)
{
	table_remove(&names->table, &name->node);
	if (name->older)
		name->older->newer = name->newer;
	else
		names->oldest = name->newer;
	if (name->newer)
		name->newer->older = name->older;
	else
		names->newest = name->older;
	free(name);
}

void dns_names_release(struct dns_names *names)
{
	while (names->oldest)
		forget(names, names->oldest);
	table_free(&names->table);
}

const struct dns_name *dns_names_find(const struct dns_names *names, const char *text)
{
	struct table_node *at = NULL;

	if (names->table.count > 0)
		at = table_first(&names->table, hash_of(text));
	for (; at; at = table_next(at)) {
		const struct dns_name *name = table_entry(at, struct dns_name, node);

		if (strcmp(name->text, text) == 0)
			return name;
	}
	return NULL;
}

/* False: longer than DNS can carry, or empty. */
static bool lower_name(const char *from, char to[HOSTNAME_MAX + 1])
{
	size_t length = strlen(from);

	if (length > 0 && from[length - 1] == '.')
		length--;
	if (length == 0 || length > HOSTNAME_MAX)
		return false;
	for (size_t i = 0; i < length; i++)
		to[i] = from[i] >= 'A' && from[i] <= 'Z' ? (char)(from[i] + 'a' - 'A') : from[i];
	to[length] = '\0';
	return true;
}

static void take_addrs(struct dns_name *name, const struct cert *cert)
{
	for (size_t i = cert->network_count; i-- > 0;) {
		const struct addr *addr = &cert->networks[i].addr;

		if (addr_is_v4(addr)) {
			name->has_v4 = true;
			name->v4 = *addr;
		} else {
			name->has_v6 = true;
			name->v6 = *addr;
		}
	}
}

void dns_names_learn(struct dns_names *names, const struct cert *cert)
{
	char text[HOSTNAME_MAX + 1];
	struct dns_name *name;
	size_t length;

	if (!lower_name(cert->name, text))
		return;
	name = (struct dns_name *)dns_names_find(names, text);
	if (name)
		forget(names, name);
	length = strlen(text);
	name = calloc(1, sizeof(*name) + length + 1);
	if (!name)
		return;
	memcpy(name->text, text, length + 1);
	take_addrs(name, cert);
	if (names->table.count >= DNS_NAMES_MAX)
		forget(names, names->oldest);
	name->older = names->newest;
	if (names->newest)
		names->newest->newer = name;
	else
		names->oldest = name;
	names->newest = name;
	table_add(&names->table, &name->node, hash_of(text));
}
