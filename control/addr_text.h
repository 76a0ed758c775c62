/* addr_text.h - addresses, prefixes and endpoints as text, both ways. Pure; no name look-ups. */
#ifndef M57_ADDR_TEXT_H
#define M57_ADDR_TEXT_H

#include "addr.h"

#define ADDR_TEXT_MAX     46 /* INET6_ADDRSTRLEN */
#define PREFIX_TEXT_MAX   50 /* ADDR + "/128" */
#define ENDPOINT_TEXT_MAX 54 /* "[ADDR]:65535" */

/*
 * Each parser takes the whole string (no blanks around it) and returns 0, or -EINVAL and leaves
 * *out alone. addr_parse takes "10.42.0.1", "fd42::1" and "::ffff:10.42.0.1" (which is IPv4).
 * prefix_parse wants "ADDR/BITS" and keeps host bits. endpoint_parse takes "10.0.0.1:4242" and
 * "[fd42::1]:4242"; the port is 0..65535 decimal.
 */
int addr_parse(const char *text, struct addr *out);
int prefix_parse(const char *text, struct prefix *out);
int endpoint_parse(const char *text, struct endpoint *out);

/* Each formatter writes a terminated string into buf (sizes above) and returns buf. */
const char *addr_format(const struct addr *a, char buf[ADDR_TEXT_MAX]);
const char *prefix_format(const struct prefix *p, char buf[PREFIX_TEXT_MAX]);
const char *endpoint_format(const struct endpoint *e, char buf[ENDPOINT_TEXT_MAX]);

#endif
