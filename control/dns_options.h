/* dns_options.h - lighthouse.serve_dns and lighthouse.dns.* (PROTOCOL.md 9.2, 10.4). */
#ifndef M57_DNS_OPTIONS_H
#define M57_DNS_OPTIONS_H

#include "addr.h"
#include "limits.h"

struct dns_options {
	bool serve;                  /* if this is a lighthouse */
	bool any;                    /* at every address of this host */
	char name[HOSTNAME_MAX + 1]; /* else where this name is; "" for none */
	struct addr host;            /* else at this one */
	uint16_t port;
};

#endif
