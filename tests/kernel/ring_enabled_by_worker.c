/*
 * A ring made disabled in one thread belongs to the thread that enables it (SINGLE_ISSUER,
 * DEFER_TASKRUN): that one submits, the maker gets EEXIST from then on: Linux 6.1.
 */
#include <pthread.h>

#include "kernel_test.h"

static struct io_uring ring;

static void *worker(void *unused)
{
	CHECK(ring_enable(&ring) == 0, "enable: %s", strerror(errno));
	io_uring_prep_nop(io_uring_get_sqe(&ring));
	CHECK(completion(&ring).res == 0, "nop");
	return unused;
}

int main(void)
{
	pthread_t thread;
	struct io_uring_probe probe = {0};

	ring_make(&ring, IORING_SETUP_R_DISABLED);
	uint8_t *slots = slots_provide(&ring); /* registering works while it is disabled */
	CHECK(slots, "memory");
	io_uring_prep_nop(io_uring_get_sqe(&ring));
	int early = io_uring_submit(&ring);
	CHECK(early == -EBADFD, "submitting to a disabled ring: %d", early);
	/* the entry stays in the queue: the worker's first submit carries it out too */
	pthread_create(&thread, NULL, worker, NULL);
	pthread_join(thread, NULL);
	long late = syscall(__NR_io_uring_register, ring.ring_fd, IORING_REGISTER_PROBE, &probe, 0);
	CHECK(late == -1 && errno == EEXIST, "registering from the maker: %ld %s", late,
	      strerror(errno));
	return 0;
}
