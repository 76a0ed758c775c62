/* standard_fds.h - descriptors 0 to 2 are open, whoever started us and with what. */
#ifndef M57_STANDARD_FDS_H
#define M57_STANDARD_FDS_H

#include <fcntl.h>
#include <unistd.h>

/*
 * The first thing of a main(): what opens next must not become "standard output". A log line in a
 * ring, a socket or a key file is worse than one that is lost.
 */
static inline void standard_fds_open(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

#endif
