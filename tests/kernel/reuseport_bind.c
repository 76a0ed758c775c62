/*
 * A port is ours alone although several sockets share it: the first is bound without SO_REUSEPORT
 * and gets the option afterwards. Then the others of ours can bind, and a stranger who does the
 * same finds the port in use, whoever was first.
 */
#include "kernel_test.h"

static int bind_with(struct sockaddr_in *at, bool before, bool after)
{
	int on = 1, fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (before)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)at, sizeof(*at)) != 0) {
		int error = errno;
		close(fd);
		return -error;
	}
	if (after)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	return fd;
}

int main(void)
{
	struct sockaddr_in at;

	close(udp_loopback(&at)); /* a free port */
	int first = bind_with(&at, false, true);
	CHECK(first >= 0, "first: %s", strerror(-first));
	int second = bind_with(&at, true, false);
	CHECK(second >= 0, "second of ours: %s", strerror(-second));
	int stranger = bind_with(&at, false, true);
	CHECK(stranger == -EADDRINUSE, "a stranger shares the port: %d", stranger);
	close(first);
	close(second);

	stranger = bind_with(&at, true, false);
	CHECK(stranger >= 0, "stranger: %s", strerror(-stranger));
	first = bind_with(&at, false, true);
	CHECK(first == -EADDRINUSE, "we share a stranger's port: %d", first);
	return 0;
}
