/* kernel_drops_test.c - what the kernel drops of UDP; of the tun: netns/ctl.bats. */
#include "system/kernel_drops.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(kernel_drops);

#define SENT 1000

/* A socket of loopback with room for a few datagrams. */
static int small_socket(struct sockaddr_in *name)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t bytes = sizeof(*name);

	*name = (struct sockaddr_in){.sin_family = AF_INET,
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	cr_assert_eq(bind(fd, (struct sockaddr *)name, sizeof(*name)), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)name, &bytes), 0);
	cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){1}, sizeof(int)), 0);
	return fd;
}

Test(kernel_drops, datagrams_for_a_full_buffer_of_any_socket)
{
	struct kernel_drops kernel = {0};
	struct sockaddr_in names[2];
	int fds[2] = {small_socket(&names[0]), small_socket(&names[1])};
	uint64_t got = 0;
	char byte = 1;

	cr_expect_eq(kernel_drops_udp(&kernel), 0);
	cr_expect_eq(kernel_drops_tun(&kernel), 0);
	kernel_drops_begin(&kernel, fds, 2, 0);
	cr_expect_eq(kernel_drops_udp(&kernel), 0);
	for (int i = 0; i < SENT; i++)
		cr_assert_eq(sendto(fds[0], &byte, 1, 0, (struct sockaddr *)&names[i % 2],
				    sizeof(names[0])),
			     1);
	for (int i = 0; i < 2; i++)
		while (recv(fds[i], &byte, 1, 0) == 1)
			got++;
	cr_expect_lt(got, SENT);
	cr_expect_eq(kernel_drops_udp(&kernel), SENT - got);
	close(fds[0]);
	close(fds[1]);
}
