/* One multishot read (opcode 49) delivers packet after packet from a tun: Linux 6.7. */
#include "kernel_test.h"

#define OP_READ_MULTISHOT 49

int main(void)
{
	struct io_uring ring;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};

	own_network();
	int tun = tun_make(), udp = socket(AF_INET, SOCK_DGRAM, 0);
	ring_make(&ring, 0);
	uint8_t *slots = slots_provide(&ring);

	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
	io_uring_prep_read(sqe, tun, NULL, 0, 0);
	sqe->opcode = OP_READ_MULTISHOT;
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = GROUP_TEST;
	sqe->user_data = 7;
	io_uring_submit(&ring);

	inet_pton(AF_INET, "10.9.8.2", &to.sin_addr);
	int found = 0;
	/* the kernel may have packets of its own to say (IPv6 router solicitation) */
	for (int i = 0; i < 6 && found < 3; i++) {
		sendto(udp, "0123456789", 10, 0, (struct sockaddr *)&to, sizeof(to));
		struct io_uring_cqe cqe = completion(&ring);
		if (cqe.res == -EINVAL && i == 0)
			SKIP("kernel too old: no multishot read");
		CHECK(cqe.res > 10, "read: %d", cqe.res);
		CHECK(cqe.flags & IORING_CQE_F_MORE, "ended after %d packets", i);
		CHECK(cqe.flags & IORING_CQE_F_BUFFER, "no buffer");
		uint8_t *packet = slots +
				  (size_t)(cqe.flags >> IORING_CQE_BUFFER_SHIFT) * SLOT_BYTES_TEST +
				  10;
		if (packet[0] == 0x45 && cqe.res == 10 + 20 + 8 + 10)
			found++;
	}
	CHECK(found == 3, "%d of 3 packets", found);
	return 0;
}
