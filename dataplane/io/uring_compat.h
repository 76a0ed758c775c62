/*
 * uring_compat.h - what liburing 2.3 (Debian 12) lacks, each with the version that makes it
 * obsolete.
 */
#ifndef M57_URING_COMPAT_H
#define M57_URING_COMPAT_H

#include <liburing.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <errno.h>

/* liburing 2.5: IORING_OP_READ_MULTISHOT and io_uring_prep_read_multishot (Linux 6.7). */
#define COMPAT_OP_READ_MULTISHOT 49

/* Reads of fd, a registered file's index or a descriptor, into buffers of group. */
static inline void compat_prep_read_multishot(struct io_uring_sqe *sqe, int fd, uint16_t group)
{
	io_uring_prep_rw(COMPAT_OP_READ_MULTISHOT, sqe, fd, NULL, 0, (uint64_t)-1);
	sqe->buf_group = group;
	sqe->flags |= IOSQE_BUFFER_SELECT;
}

/* liburing 2.4: exported. 2.3 declares io_uring_enable_rings but its .so lacks it. */
static inline int compat_enable_rings(struct io_uring *ring)
{
	long r = syscall(__NR_io_uring_register, ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL,
			 0);
	return r < 0 ? -errno : 0;
}

/* liburing 2.4: io_uring_setup_buf_ring, which also maps. Registers ring memory as group. */
static inline int compat_register_buf_ring(struct io_uring *ring, void *memory, uint32_t entries,
					   uint16_t group)
{
	struct io_uring_buf_reg reg = {
		.ring_addr = (uint64_t)(uintptr_t)memory,
		.ring_entries = entries,
		.bgid = group,
	};
	long r = syscall(__NR_io_uring_register, ring->ring_fd, IORING_REGISTER_PBUF_RING, &reg, 1);
	return r < 0 ? -errno : 0;
}

#endif
