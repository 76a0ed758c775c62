/* local_addrs.h - the addresses of this machine's interfaces, from the kernel. Linux, rtnetlink. */
#ifndef M57_LOCAL_ADDRS_H
#define M57_LOCAL_ADDRS_H

#include "peers/lighthouse_options.h"

/*
 * Dumps the addresses of all interfaces into list, at most `most`; those of an interface without a
 * name any more are passed over. Returns how many; 0 when the kernel does not answer. Addresses
 * that change meanwhile are asked for again, DUMP_TRIES times at most. Blocks for the dump: some
 * tens of microseconds.
 */
size_t local_addrs_dump(struct local_addr *list, size_t most);

/* A socket that is readable when an address has come or gone; the caller closes it. fd or -errno.
 */
int local_addrs_watch(void);
/* Takes in all that the socket has to say. */
void local_addrs_take(int fd);

#endif
