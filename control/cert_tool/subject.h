/* subject.h - what the flags of "ca" and "sign" say about the certificate to be made. */
#ifndef M57_SUBJECT_H
#define M57_SUBJECT_H

#include "cert_tool/tool.h"

struct subject {
	const char *name;
	struct prefix *networks;        /* host bits kept */
	struct prefix *unsafe_networks; /* host bits cleared, as nebula-cert does */
	const char **groups;
	size_t network_count, unsafe_network_count, group_count;
};

/* The comma separated lists as they stand on the command line; "" for none. */
struct subject_text {
	const char *name, *networks, *unsafe_networks, *groups;
};

/*
 * Items are trimmed, blank ones dropped. Returns 0, or -EINVAL or -ENOMEM with the error text in
 * error; subject_free() in either case. The names in *text must outlive *out.
 */
int subject_parse(const struct subject_text *text, struct subject *out, char error[TOOL_TEXT_MAX]);
void subject_free(struct subject *subject);

/* Points cert's version, name, networks and groups at subject's. */
void subject_apply(const struct subject *subject, struct cert *cert);

#endif
