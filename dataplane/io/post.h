/*
 * post.h - control's way to a worker's ring: a small ring of its own that only sends MSG_RING.
 * Used by the control thread alone.
 */
#ifndef M57_POST_H
#define M57_POST_H

#include <stdint.h>

struct post;

/* NULL: no memory or no io_uring, errno says why. */
struct post *post_create(void);
void post_destroy(struct post *post);
/*
 * Places a completion with tag on ring_fd. 0 or -errno: -EBADFD, the ring is not enabled yet;
 * -EAGAIN, the kernel has no memory for it now.
 */
int post_send(struct post *post, int ring_fd, uint64_t tag);

#endif
