/* address_watch.h - a descriptor that becomes readable when an address of this machine changes. */
#ifndef M57_ADDRESS_WATCH_H
#define M57_ADDRESS_WATCH_H

#include <stdbool.h>

/* A non-blocking netlink socket, to be closed by close(); or -errno. */
int address_watch_open(void);

/* Takes in what has come. Did an address appear or go? True also when messages were lost. */
bool address_watch_read(int fd);

#endif
