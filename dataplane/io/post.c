#include "io/post.h"

#include <errno.h>
#include <stdlib.h>

#include "io/uring_compat.h"

struct post {
	struct io_uring ring;
};

struct post *post_create(void)
{
	struct post *post = calloc(1, sizeof(*post));

	if (!post)
		return NULL;
	int err = io_uring_queue_init(4, &post->ring, 0);
	if (!err)
		return post;
	free(post);
	errno = -err;
	return NULL;
}

void post_destroy(struct post *post)
{
	if (post)
		io_uring_queue_exit(&post->ring);
	free(post);
}

/* A place for a request; those that the kernel has not taken yet may have all of them. */
static struct io_uring_sqe *place(struct post *post)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&post->ring);

	if (sqe)
		return sqe;
	(void)io_uring_submit(&post->ring);
	return io_uring_get_sqe(&post->ring);
}

/*
 * The kernel has not taken it, but it stands in the ring and leaves with the next: as a request
 * that does nothing. Who is told that a message was not sent frees it or sends it again.
 */
static void take_back(struct io_uring_sqe *sqe)
{
	io_uring_prep_nop(sqe);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

/* -EOVERFLOW: the other ring is full, and there is no memory for what is behind (Linux 6.1). */
static int refusal(int err)
{
	return err == -ENOMEM || err == -EBUSY || err == -EOVERFLOW ? -EAGAIN : err;
}

static int submit(struct post *post)
{
	int err;

	do
		err = io_uring_submit_and_wait(&post->ring, 1);
	while (err == -EINTR || (err > 0 && io_uring_sq_ready(&post->ring) > 0));
	return err;
}

/*
 * Control enters the kernel by turns here and for its own wait. Where every other call is refused
 * it would always be this one, so what is refused is tried once more at once.
 */
int post_send(struct post *post, int ring_fd, uint64_t tag)
{
	struct io_uring_sqe *sqe = place(post);
	struct io_uring_cqe *cqe;

	if (!sqe)
		return -EAGAIN;
	io_uring_prep_msg_ring(sqe, ring_fd, 0, tag, 0);
	int err = submit(post);
	if (err < 0)
		err = submit(post);
	if (io_uring_sq_ready(&post->ring) > 0) {
		take_back(sqe);
		return err < 0 ? refusal(err) : -EAGAIN;
	}
	do
		err = io_uring_wait_cqe(&post->ring, &cqe);
	while (err == -EINTR);
	if (err)
		return err;
	err = cqe->res;
	io_uring_cqe_seen(&post->ring, cqe);
	return err < 0 ? refusal(err) : 0;
}
