/* notify.h - tells the service manager how we are (sd_notify's protocol, without its library). */
#ifndef M57_NOTIFY_H
#define M57_NOTIFY_H

/*
 * Sends state ("READY=1") as one datagram to the socket named by NOTIFY_SOCKET; a name that begins
 * with @ is abstract. 0, also when the variable is not set; -errno when the manager cannot be
 * reached.
 */
int notify_send(const char *state);

#endif
