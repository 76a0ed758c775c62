/* addr_text.c - addresses as text; see addr_text.h. */
#include "addr_text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

/* A whole string of 1 to digits_max decimal digits. Returns false for anything else. */
static bool number_parse(const char *text, unsigned digits_max, unsigned max, unsigned *out)
{
	unsigned value = 0, digits = 0;

	for (; text[digits] != '\0'; digits++) {
		if (digits == digits_max || text[digits] < '0' || text[digits] > '9')
			return false;
		value = value * 10 + (unsigned)(text[digits] - '0');
	}
	if (digits == 0 || value > max)
		return false;
	*out = value;
	return true;
}

/* Copies [text, text + len) into buf as a string, if it fits. */
static bool part_copy(const char *text, size_t len, char *buf, size_t size)
{
	if (len >= size)
		return false;
	memcpy(buf, text, len);
	buf[len] = '\0';
	return true;
}

int addr_parse(const char *text, struct addr *out)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (inet_pton(AF_INET, text, &v4) == 1) {
		*out = addr_from_v4(ntohl(v4.s_addr));
		return 0;
	}
	if (inet_pton(AF_INET6, text, &v6) == 1) {
		memcpy(out->bytes, v6.s6_addr, sizeof(out->bytes));
		return 0;
	}
	return -EINVAL;
}

int prefix_parse(const char *text, struct prefix *out)
{
	const char *slash = strchr(text, '/');
	char part[ADDR_TEXT_MAX];
	struct addr addr;
	unsigned bits;

	if (slash == NULL || !part_copy(text, (size_t)(slash - text), part, sizeof(part)) ||
	    addr_parse(part, &addr) != 0 || !number_parse(slash + 1, 3, 128, &bits))
		return -EINVAL;
	if (slash[1] == '0' && slash[2] != '\0') /* "/08" is octal to some readers */
		return -EINVAL;

	if (strchr(part, ':') == NULL) {
		if (bits > 32)
			return -EINVAL;
		bits += ADDR_V4_BITS;
	} else if (addr_is_v4(&addr) && bits < ADDR_V4_BITS) {
		return -EINVAL; /* ::ffff:10.0.0.1/90 would hold more than IPv4 */
	}
	*out = (struct prefix){.addr = addr, .bits = (uint8_t)bits};
	return 0;
}

int endpoint_parse(const char *text, struct endpoint *out)
{
	const char *host = text, *colon = strrchr(text, ':');
	char part[ADDR_TEXT_MAX];
	struct addr addr;
	size_t host_len;
	unsigned port;
	bool bracket = text[0] == '[';

	if (colon == NULL)
		return -EINVAL;
	host_len = (size_t)(colon - text);
	if (bracket) {
		if (host_len < 2 || colon[-1] != ']')
			return -EINVAL;
		host++;
		host_len -= 2;
	}
	if (!part_copy(host, host_len, part, sizeof(part)) || addr_parse(part, &addr) != 0 ||
	    (strchr(part, ':') != NULL) != bracket || !number_parse(colon + 1, 5, 65535, &port))
		return -EINVAL;
	*out = (struct endpoint){.addr = addr, .port = (uint16_t)port};
	return 0;
}

const char *addr_format(const struct addr *a, char buf[ADDR_TEXT_MAX])
{
	if (addr_is_v4(a))
		inet_ntop(AF_INET, a->bytes + 12, buf, ADDR_TEXT_MAX);
	else
		inet_ntop(AF_INET6, a->bytes, buf, ADDR_TEXT_MAX);
	return buf;
}

const char *prefix_format(const struct prefix *p, char buf[PREFIX_TEXT_MAX])
{
	char addr[ADDR_TEXT_MAX];
	unsigned bits = p->bits;

	if (addr_is_v4(&p->addr) && bits >= ADDR_V4_BITS)
		bits -= ADDR_V4_BITS;
	snprintf(buf, PREFIX_TEXT_MAX, "%s/%u", addr_format(&p->addr, addr), bits);
	return buf;
}

const char *endpoint_format(const struct endpoint *e, char buf[ENDPOINT_TEXT_MAX])
{
	char addr[ADDR_TEXT_MAX];

	addr_format(&e->addr, addr);
	snprintf(buf, ENDPOINT_TEXT_MAX, addr_is_v4(&e->addr) ? "%s:%u" : "[%s]:%u", addr, e->port);
	return buf;
}
