/*
 * kernel_test.h - what the programs of this folder share. Each proves one thing that the dataplane
 * takes for granted about the kernel: exit 0 it holds, 77 the kernel is too old (or the machine
 * lacks something: the line begins with "needs"), 1 it does not hold.
 */
#ifndef KERNEL_TEST_H
#define KERNEL_TEST_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define SLOT_BYTES_TEST 65536
#define SLOTS_TEST      8
#define GROUP_TEST      1

#define CHECK(condition, ...)                                                                      \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			printf("%s:%d: %s: ", __FILE__, __LINE__, #condition);                     \
			printf(__VA_ARGS__);                                                       \
			printf("\n");                                                              \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

#define SKIP(...)                                                                                  \
	do {                                                                                       \
		printf(__VA_ARGS__);                                                               \
		printf("\n");                                                                      \
		exit(77);                                                                          \
	} while (0)

/* A ring as the workers have it, plus flags; skips where the kernel has no such thing. */
static inline void ring_make(struct io_uring *ring, unsigned flags)
{
	struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER |
					     IORING_SETUP_DEFER_TASKRUN | flags};
	int result = io_uring_queue_init_params(64, ring, &p);
	if (result == -EINVAL || result == -ENOSYS)
		SKIP("kernel too old: no DEFER_TASKRUN (%s)", strerror(-result));
	if (result == -EPERM)
		SKIP("needs io_uring: denied (sysctl kernel.io_uring_disabled, or seccomp)");
	CHECK(result == 0, "%s", strerror(-result));
}

static inline int ring_enable(struct io_uring *ring)
{
	return syscall(__NR_io_uring_register, ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0)
		       ? -errno
		       : 0;
}

/* Provided buffers, group GROUP_TEST, SLOTS_TEST of SLOT_BYTES_TEST each; returns their memory. */
static inline uint8_t *slots_provide(struct io_uring *ring)
{
	struct io_uring_buf_ring *buffers = NULL;
	uint8_t *memory = malloc((size_t)SLOTS_TEST * SLOT_BYTES_TEST);

	CHECK(posix_memalign((void **)&buffers, 4096, 4096) == 0, "memory");
	memset(buffers, 0, 4096);
	struct io_uring_buf_reg reg = {
		.ring_addr = (uintptr_t)buffers, .ring_entries = SLOTS_TEST, .bgid = GROUP_TEST};
	int result = io_uring_register_buf_ring(ring, &reg, 0);
	CHECK(result == 0, "provided buffers: %s", strerror(-result));
	for (int i = 0; i < SLOTS_TEST; i++)
		io_uring_buf_ring_add(buffers, memory + (size_t)i * SLOT_BYTES_TEST,
				      SLOT_BYTES_TEST, (unsigned short)i, SLOTS_TEST - 1, i);
	io_uring_buf_ring_advance(buffers, SLOTS_TEST);
	return memory;
}

/* The next completion, waiting at most two seconds; copies it and marks it seen. */
static inline struct io_uring_cqe completion(struct io_uring *ring)
{
	struct __kernel_timespec limit = {.tv_sec = 2};
	struct io_uring_cqe *cqe = NULL;
	int result = io_uring_submit_and_wait_timeout(ring, &cqe, 1, &limit, NULL);

	CHECK(result >= 0 && cqe, "no completion: %s", strerror(-result));
	struct io_uring_cqe copy = *cqe;
	io_uring_cqe_seen(ring, cqe);
	return copy;
}

/* A UDP socket on 127.0.0.1; *at gets its address. */
static inline int udp_loopback(struct sockaddr_in *at)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	socklen_t length = sizeof(*at);

	*at = (struct sockaddr_in){.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	CHECK(fd >= 0 && bind(fd, (struct sockaddr *)at, sizeof(*at)) == 0, "bind: %s",
	      strerror(errno));
	getsockname(fd, (struct sockaddr *)at, &length);
	return fd;
}

/* Sends size bytes as datagrams of segment bytes by one call; 0 or -errno. */
static inline int send_segmented(int fd, const struct sockaddr_in *to, const void *bytes,
				 size_t size, uint16_t segment)
{
	char control[CMSG_SPACE(sizeof(uint16_t))] = {0};
	struct iovec vector = {(void *)bytes, size};
	struct msghdr message = {.msg_name = (void *)to,
				 .msg_namelen = sizeof(*to),
				 .msg_iov = &vector,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_UDP;
	header->cmsg_type = UDP_SEGMENT;
	header->cmsg_len = CMSG_LEN(sizeof(segment));
	memcpy(CMSG_DATA(header), &segment, sizeof(segment));
	return sendmsg(fd, &message, 0) < 0 ? -errno : 0;
}

/* A network namespace of this process alone, gone with it; loopback is up. */
static inline void own_network(void)
{
	if (geteuid() != 0)
		SKIP("needs root");
	if (unshare(CLONE_NEWNET) != 0)
		SKIP("needs network namespaces: %s", strerror(errno));
}

/* A tun with virtio-net headers, 10.9.8.1/24, up, in the namespace of own_network(). */
static inline int tun_make(void)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE};
	struct sockaddr_in address = {.sin_family = AF_INET};
	int header_bytes = 10, helper = socket(AF_INET, SOCK_DGRAM, 0);
	int fd = open("/dev/net/tun", O_RDWR);

	if (fd < 0)
		SKIP("needs /dev/net/tun: %s", strerror(errno));
	strcpy(request.ifr_name, "probe0");
	CHECK(ioctl(fd, TUNSETIFF, &request) == 0, "%s", strerror(errno));
	CHECK(ioctl(fd, TUNSETVNETHDRSZ, &header_bytes) == 0, "%s", strerror(errno));
	inet_pton(AF_INET, "10.9.8.1", &address.sin_addr);
	memcpy(&request.ifr_addr, &address, sizeof(address));
	CHECK(ioctl(helper, SIOCSIFADDR, &request) == 0, "%s", strerror(errno));
	inet_pton(AF_INET, "255.255.255.0", &address.sin_addr);
	memcpy(&request.ifr_netmask, &address, sizeof(address));
	CHECK(ioctl(helper, SIOCSIFNETMASK, &request) == 0, "%s", strerror(errno));
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	CHECK(ioctl(helper, SIOCSIFFLAGS, &request) == 0, "%s", strerror(errno));
	close(helper);
	return fd;
}

#endif
