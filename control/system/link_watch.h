/*
 * link_watch.h - says when our device has come up again after it was down: then the kernel has
 * dropped its routes and its IPv6 addresses, without a word about the routes of IPv4. Linux,
 * rtnetlink. Control thread, never blocks.
 */
#ifndef M57_LINK_WATCH_H
#define M57_LINK_WATCH_H

#include <stdbool.h>

/* GONE: deleted, or moved to another network namespace, where it may be up. */
enum link_state { LINK_UP, LINK_DOWN, LINK_GONE };

struct link_watch {
	int fd; /* readable when there is something for link_watch_turn() */
	unsigned index;
	bool up;               /* as last told; false also when messages were lost since */
	enum link_state state; /* as last told */
};

/* Watches the device of that index, which is up now. 0 or -errno. */
int link_watch_open(struct link_watch *watch, unsigned index);
void link_watch_close(struct link_watch *watch); /* of one that is not open (fd -1) too */

/*
 * Takes in all that has come. True: the device has come up since the last call that said so, and is
 * up. Messages that were lost (ENOBUFS) may have said so: the device counts as down until the
 * kernel, which is asked, says that it is up.
 */
bool link_watch_turn(struct link_watch *watch);

#endif
