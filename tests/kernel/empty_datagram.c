/* An empty datagram ends a multishot recvmsg (no F_MORE), and it can be started again at once. */
#include "kernel_test.h"

static struct msghdr shape = {.msg_namelen = sizeof(struct sockaddr_storage)};

static void arm(struct io_uring *ring, int fd)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	io_uring_prep_recvmsg_multishot(sqe, fd, &shape, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = GROUP_TEST;
	io_uring_submit(ring);
}

int main(void)
{
	struct io_uring ring;
	struct sockaddr_in at;
	int fd = udp_loopback(&at), source = socket(AF_INET, SOCK_DGRAM, 0);

	ring_make(&ring, 0);
	slots_provide(&ring);
	arm(&ring, fd);
	sendto(source, "x", 1, 0, (struct sockaddr *)&at, sizeof(at));
	struct io_uring_cqe cqe = completion(&ring);
	if (cqe.res == -EINVAL)
		SKIP("kernel too old: no multishot recvmsg");
	CHECK(cqe.res > 0 && cqe.flags & IORING_CQE_F_MORE, "first: %d", cqe.res);

	sendto(source, "", 0, 0, (struct sockaddr *)&at, sizeof(at));
	cqe = completion(&ring);
	if (cqe.flags & IORING_CQE_F_MORE) { /* then the re-arm is simply never needed */
		printf("this kernel goes on after an empty datagram\n");
		return 0;
	}
	arm(&ring, fd);
	sendto(source, "yy", 2, 0, (struct sockaddr *)&at, sizeof(at));
	cqe = completion(&ring);
	CHECK(cqe.res > 0 && cqe.flags & IORING_CQE_F_MORE, "after the re-arm: %d", cqe.res);
	return 0;
}
