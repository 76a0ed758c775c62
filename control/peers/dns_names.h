/*
 * dns_names.h - the hosts' names that a lighthouse has learned from completed tunnels, for its DNS
 * answers (PROTOCOL.md 10.4). Names stay when tunnels go; the one learned longest ago gives way
 * when there are DNS_NAMES_MAX. Case does not count.
 */
#ifndef M57_DNS_NAMES_H
#define M57_DNS_NAMES_H

#include <stdbool.h>

#include "addr.h"
#include "identity/cert.h"
#include "peers/table.h"

struct dns_name {
	struct table_node node;
	struct dns_name *older, *newer;
	bool has_v4, has_v6;
	struct addr v4, v6; /* the first of each family in the certificate */
	char text[];        /* lower case */
};

struct dns_names {
	struct table table;
	struct dns_name *oldest, *newest;
};

/* Zeroed, it is empty and may be asked. 0 or -ENOMEM. */
int dns_names_init(struct dns_names *names);
void dns_names_release(struct dns_names *names);
/* The certificate's name is at its addresses from now on. What DNS cannot carry is left out. */
void dns_names_learn(struct dns_names *names, const struct cert *cert);
/* text: lower case, without a last dot. NULL: nobody is called so. */
const struct dns_name *dns_names_find(const struct dns_names *names, const char *text);

#endif
