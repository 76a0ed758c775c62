/* One multishot recvmsg takes trains: UDP_GRO joins them and says the segment size: Linux 6.0. */
#include "kernel_test.h"

int main(void)
{
	struct io_uring ring;
	struct sockaddr_in at;
	struct msghdr shape = {.msg_namelen = sizeof(struct sockaddr_storage),
			       .msg_controllen = CMSG_SPACE(sizeof(int))};
	static uint8_t bytes[1000];
	int on = 1, fd = udp_loopback(&at), source = socket(AF_INET, SOCK_DGRAM, 0);

	CHECK(setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on)) == 0, "%s", strerror(errno));
	ring_make(&ring, 0);
	uint8_t *slots = slots_provide(&ring);
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
	io_uring_prep_recvmsg_multishot(sqe, fd, &shape, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = GROUP_TEST;
	io_uring_submit(&ring);

	for (int round = 0; round < 3; round++) {
		int result = send_segmented(source, &at, bytes, sizeof(bytes), 100);
		CHECK(result == 0, "send: %s", strerror(-result));
		struct io_uring_cqe cqe = completion(&ring);
		if (cqe.res == -EINVAL && round == 0)
			SKIP("kernel too old: no multishot recvmsg");
		CHECK(cqe.res > 0, "recvmsg: %s", strerror(-cqe.res));
		CHECK(cqe.flags & IORING_CQE_F_MORE, "ended in round %d", round);
		uint8_t *slot =
			slots + (size_t)(cqe.flags >> IORING_CQE_BUFFER_SHIFT) * SLOT_BYTES_TEST;
		struct io_uring_recvmsg_out *out = io_uring_recvmsg_validate(slot, cqe.res, &shape);
		CHECK(out && out->payloadlen == sizeof(bytes), "payload %u",
		      out ? out->payloadlen : 0);
		struct cmsghdr *header = io_uring_recvmsg_cmsg_firsthdr(out, &shape);
		CHECK(header && header->cmsg_level == SOL_UDP && header->cmsg_type == UDP_GRO,
		      "no segment size");
		int segment;
		memcpy(&segment, CMSG_DATA(header), sizeof(segment));
		CHECK(segment == 100, "segment size %d", segment);
	}
	return 0;
}
