/* dns_answer.c - what a lighthouse answers to a DNS question; see dns.h. Pure. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "addr_text.h"
#include "dns.h"
#include "peers/node_query.h"

#define CLASS_IN   1
#define CLASS_ANY  255
#define LINE_BYTES 1024

/* Is it this host that asks? From an address of its own overlay, or over loopback. */
static bool is_local(const struct node *node, const struct addr *asker)
{
	static const struct addr loopback = {{[15] = 1}};

	if (addr_is_v4(asker) ? addr_v4(asker) >> 24 == 127 : addr_equal(asker, &loopback))
		return true;
	return node_query_is_own(node, asker);
}

/* "[a b c]", as Go prints a list. */
static void list_text(char *out, size_t size, const char *head, size_t count,
		      const char *(*item)(const struct cert *cert, size_t i, char *buffer),
		      const struct cert *cert)
{
	size_t used = (size_t)snprintf(out, size, "%s [", head);
	char buffer[PREFIX_TEXT_MAX];

	for (size_t i = 0; i < count && used < size; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%s", i ? " " : "",
					 item(cert, i, buffer));
	if (used < size)
		snprintf(out + used, size - used, "]");
}

static const char *network_item(const struct cert *cert, size_t i, char *buffer)
{
	return prefix_format(&cert->networks[i], buffer);
}

static const char *unsafe_item(const struct cert *cert, size_t i, char *buffer)
{
	return prefix_format(&cert->unsafe_networks[i], buffer);
}

static const char *group_item(const struct cert *cert, size_t i, char *buffer)
{
	return cert->groups[i];
}

static void time_text(char *out, size_t size, const char *head, int64_t seconds)
{
	time_t at = (time_t)seconds;
	char text[64] = "";
	struct tm parts;

	if (gmtime_r(&at, &parts))
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S +0000 UTC", &parts);
	snprintf(out, size, "%s %s", head, text);
}

static void hex_text(char *out, size_t size, const char *head, const uint8_t *bytes, size_t length)
{
	size_t used = (size_t)snprintf(out, size, "%s ", head);

	for (size_t i = 0; i < length && used + 2 < size; i++)
		used += (size_t)snprintf(out + used, size - used, "%02x", bytes[i]);
}

/* The character-strings of release 1.6.1, one letter included, which programs read. */
static void certificate(struct dns_reply *reply, const struct dns_query *query,
			const struct cert *cert)
{
	uint8_t data[DNS_REPLY_MAX];
	char line[LINE_BYTES];
	size_t used = 0;

	snprintf(line, sizeof(line), "Name: %s", cert->name);
	dns_text(data, sizeof(data), &used, line);
	list_text(line, sizeof(line), "Ips:", cert->network_count, network_item, cert);
	dns_text(data, sizeof(data), &used, line);
	list_text(line, sizeof(line), "Subnets", cert->unsafe_network_count, unsafe_item, cert);
	dns_text(data, sizeof(data), &used, line);
	list_text(line, sizeof(line), "Groups", cert->group_count, group_item, cert);
	dns_text(data, sizeof(data), &used, line);
	time_text(line, sizeof(line), "NotBefore", cert->not_before);
	dns_text(data, sizeof(data), &used, line);
	time_text(line, sizeof(line), "NotAFter", cert->not_after);
	dns_text(data, sizeof(data), &used, line);
	hex_text(line, sizeof(line), "PublicKey", cert->public_key, cert->public_key_len);
	dns_text(data, sizeof(data), &used, line);
	dns_text(data, sizeof(data), &used, cert->is_ca ? "IsCA true" : "IsCA false");
	hex_text(line, sizeof(line), "Issuer", cert->issuer, sizeof(cert->issuer));
	dns_text(data, sizeof(data), &used, line);
	dns_record(reply, query, data, used);
}

/* Records of the name; false: nobody is called so. */
static bool by_name(struct node *node, struct dns_reply *reply, const struct dns_query *query)
{
	struct node_name_view name;

	if (!node_query_name(node, query->name, &name))
		return false;
	if (query->type == DNS_A && name.has_v4)
		dns_record(reply, query, name.v4.bytes + 12, 4);
	if (query->type == DNS_AAAA && name.has_v6)
		dns_record(reply, query, name.v6.bytes, 16);
	return true;
}

/* The certificate of the host with that address, for this host's own users. */
static bool by_addr(struct node *node, struct dns_reply *reply, const struct dns_query *query,
		    const struct addr *asker)
{
	struct node_tunnel_view tunnel;
	struct addr addr;

	if (query->type != DNS_TXT || addr_parse(query->name, &addr) != 0 ||
	    !is_local(node, asker) ||
	    !node_query_tunnel(node, &addr, node_query_primary(node, &addr), &tunnel))
		return false;
	certificate(reply, query, tunnel.cert);
	return true;
}

size_t dns_answer(struct node *node, const struct addr *asker, const uint8_t *bytes, size_t length,
		  uint8_t *out, bool *found)
{
	enum dns_code code = DNS_NO_ERROR;
	struct dns_query query;
	struct dns_reply reply;

	*found = false;
	switch (dns_read(bytes, length, &query, &code)) {
	case DNS_IGNORED:
		return 0;
	case DNS_BROKEN:
		dns_begin(&reply, out, &query);
		return dns_end(&reply, code);
	case DNS_READ:
		break;
	}
	dns_begin(&reply, out, &query);
	if (query.class != CLASS_IN && query.class != CLASS_ANY)
		return dns_end(&reply, DNS_REFUSED);
	if (!by_name(node, &reply, &query) && !by_addr(node, &reply, &query, asker))
		return dns_end(&reply, DNS_NO_NAME);
	*found = reply.answers > 0;
	return dns_end(&reply, DNS_NO_ERROR);
}
