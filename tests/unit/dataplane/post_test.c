/*
 * post_test.c - control's messages to a ring while the kernel refuses submissions.
 */
#include "io/post.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "io/uring_compat.h"

TestSuite(post, .timeout = 60);

struct posting {
	struct io_uring worker;
	struct post *post;
	int fd, kept; /* of the ring that posts; kept while fd is closed */
};

static void begin(struct posting *p)
{
	cr_assert_eq(io_uring_queue_init(64, &p->worker, 0), 0);
	p->fd = open("/dev/null", O_RDONLY | O_CLOEXEC); /* the next number is the ring's */
	cr_assert_geq(p->fd, 0);
	close(p->fd);
	p->post = post_create();
	cr_assert_not_null(p->post);
	p->kept = fcntl(p->fd, F_DUPFD_CLOEXEC, 0);
	cr_assert_geq(p->kept, 0);
}

/* From here on io_uring_enter() fails, as it does in a kernel without memory. */
static void refuse(struct posting *p)
{
	close(p->fd);
}

static void permit(struct posting *p)
{
	cr_assert_eq(dup2(p->kept, p->fd), p->fd);
}

/* The worker has got tag, and nothing else since it was asked last. */
static void expect_only(struct posting *p, uint64_t tag)
{
	struct io_uring_cqe *cqe;

	cr_assert_eq(io_uring_peek_cqe(&p->worker, &cqe), 0);
	cr_expect_eq(cqe->user_data, tag, "%llu", (unsigned long long)cqe->user_data);
	io_uring_cqe_seen(&p->worker, cqe);
	cr_expect_eq(io_uring_peek_cqe(&p->worker, &cqe), -EAGAIN, "%llu as well",
		     (unsigned long long)cqe->user_data);
}

static void end(struct posting *p)
{
	post_destroy(p->post);
	io_uring_queue_exit(&p->worker);
	close(p->kept);
}

/* Who is told that it was not sent frees it, or sends it once more. */
Test(post, what_was_refused_is_not_sent_later)
{
	struct posting p;

	begin(&p);
	cr_expect_eq(post_send(p.post, p.worker.ring_fd, 1), 0);
	expect_only(&p, 1);
	refuse(&p);
	cr_expect_lt(post_send(p.post, p.worker.ring_fd, 2), 0);
	permit(&p);
	cr_expect_eq(post_send(p.post, p.worker.ring_fd, 3), 0);
	expect_only(&p, 3);
	end(&p);
}

Test(post, a_kernel_that_refused_for_long_is_asked_again)
{
	struct posting p;

	begin(&p);
	refuse(&p);
	for (uint64_t i = 0; i < 100; i++)
		cr_expect_lt(post_send(p.post, p.worker.ring_fd, 100 + i), 0);
	permit(&p);
	for (uint64_t i = 1; i < 10; i++) {
		cr_assert_eq(post_send(p.post, p.worker.ring_fd, i), 0);
		expect_only(&p, i);
	}
	end(&p);
}

/* A refused message must not answer for the one that is sent next. */
Test(post, each_message_has_its_own_answer)
{
	struct posting p;

	begin(&p);
	refuse(&p);
	cr_expect_lt(post_send(p.post, p.worker.ring_fd, 1), 0);
	permit(&p);
	cr_expect_eq(post_send(p.post, -1, 2), -EBADF);
	cr_expect_eq(post_send(p.post, p.worker.ring_fd, 3), 0);
	expect_only(&p, 3);
	end(&p);
}
