/* admin_why.h - the page of "why", between admin_why.c and admin_why_host.c. */
#ifndef M57_ADMIN_WHY_H
#define M57_ADMIN_WHY_H

#include "admin_commands.h"

#define LINE_MAX_BYTES 600
#define WHY_LIFE_MAX   48

struct page {
	struct admin_world *world;
	struct node *node;
	struct addr target, hop; /* the host asked for; the overlay host that leads to it */
	struct next_hop route;   /* how */
	json_t *lines;
	char first_no[LINE_MAX_BYTES], first_unknown[LINE_MAX_BYTES + 32]; /* with its check */
	bool has_port;
	uint8_t protocol; /* 0: not asked for */
	uint16_t port;
	uint16_t from_port; /* ours; 0: not asked for, and any */
};

/*
 * Adds a line to the page. verdict is "ok", "no", "?" or "-" (admin_why.c says what they mean),
 * check what was looked at. A text longer than LINE_MAX_BYTES is cut.
 */
void why_line(struct page *page, const char *verdict, const char *check, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Now, in unix seconds. */
int64_t why_wall_s(const struct page *page);
/* "valid for 3 more days", of a certificate that has not ended; may be a constant. */
const char *why_life(const struct page *page, const struct cert *cert, char text[WHY_LIFE_MAX]);

/*
 * The lines about the host at page->hop. True: it has a tunnel that carries traffic, which *view
 * tells of; else *view is not to be used.
 */
bool why_check_host(struct page *page, struct node_tunnel_view *view);

#endif
