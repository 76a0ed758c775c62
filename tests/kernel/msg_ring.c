/* MSG_RING carries 64 bits from ring to ring, both with DEFER_TASKRUN; EBADFD while disabled. */
#include <pthread.h>

#include "kernel_test.h"

static struct io_uring worker_ring, control_ring;
static int ready[2];

static void *worker(void *unused)
{
	char byte = 1;
	CHECK(ring_enable(&worker_ring) == 0, "enable");
	CHECK(write(ready[1], &byte, 1) == 1, "pipe");
	struct io_uring_cqe cqe = completion(&worker_ring);
	CHECK(cqe.user_data == 0x1122334455667788u && cqe.res == 42, "got %llx, %d",
	      (unsigned long long)cqe.user_data, cqe.res);
	io_uring_prep_msg_ring(io_uring_get_sqe(&worker_ring), control_ring.ring_fd, 43, 99, 0);
	cqe = completion(&worker_ring);
	CHECK(cqe.res == 0, "answer: %s", strerror(-cqe.res));
	return unused;
}

int main(void)
{
	pthread_t thread;
	struct io_uring_cqe cqe;
	char byte;

	ring_make(&worker_ring, IORING_SETUP_R_DISABLED);
	ring_make(&control_ring, 0);
	CHECK(pipe(ready) == 0, "pipe");

	io_uring_prep_msg_ring(io_uring_get_sqe(&control_ring), worker_ring.ring_fd, 1, 2, 0);
	cqe = completion(&control_ring);
	CHECK(cqe.res == -EBADFD, "to a disabled ring: %d", cqe.res);

	pthread_create(&thread, NULL, worker, NULL);
	CHECK(read(ready[0], &byte, 1) == 1, "pipe");
	struct io_uring_sqe *sqe = io_uring_get_sqe(&control_ring);
	io_uring_prep_msg_ring(sqe, worker_ring.ring_fd, 42, 0x1122334455667788u, 0);
	sqe->user_data = 5;
	bool sent = false, answered = false;
	while (!sent || !answered) {
		cqe = completion(&control_ring);
		CHECK((cqe.user_data == 5 && cqe.res == 0) ||
			      (cqe.user_data == 99 && cqe.res == 43),
		      "completion %llu, %d", (unsigned long long)cqe.user_data, cqe.res);
		sent |= cqe.user_data == 5;
		answered |= cqe.user_data == 99;
	}
	pthread_join(thread, NULL);
	return 0;
}
