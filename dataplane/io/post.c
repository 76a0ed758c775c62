#include "io/post.h"

#include <stdlib.h>

#include "io/uring_compat.h"

struct post {
	struct io_uring ring;
};

struct post *post_create(void)
{
	struct post *post = calloc(1, sizeof(*post));

	if (post && io_uring_queue_init(4, &post->ring, 0) < 0) {
		free(post);
		return NULL;
	}
	return post;
}

void post_destroy(struct post *post)
{
	if (post)
		io_uring_queue_exit(&post->ring);
	free(post);
}

int post_send(struct post *post, int ring_fd, uint64_t tag)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&post->ring);
	struct io_uring_cqe *cqe;

	if (!sqe)
		return -EAGAIN; /* the kernel takes none of ours any more */
	io_uring_prep_msg_ring(sqe, ring_fd, 0, tag, 0);
	int err;
	do
		err = io_uring_submit_and_wait(&post->ring, 1);
	while (err == -EINTR);
	if (err < 0)
		return err;
	do
		err = io_uring_wait_cqe(&post->ring, &cqe);
	while (err == -EINTR);
	if (err)
		return err;
	err = cqe->res;
	io_uring_cqe_seen(&post->ring, cqe);
	return err < 0 ? err : 0;
}
