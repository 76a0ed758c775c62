/* reaper.c - see reaper.h. The mutex guards everything below it; workers never see it. */
#include "reaper.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct reaper {
	pthread_t thread;
	int event_fd;
	bool busy; /* control's own: between submit and collect */

	pthread_mutex_t lock;
	pthread_cond_t work;
	struct garbage *waiting; /* submitted, grace period not over */
	struct garbage *done;    /* over, not collected */
	bool stop;
};

static void *reaper_main(void *argument)
{
	struct reaper *reaper = argument;

	pthread_mutex_lock(&reaper->lock);
	for (;;) {
		while (!reaper->waiting && !reaper->stop)
			pthread_cond_wait(&reaper->work, &reaper->lock);
		if (!reaper->waiting)
			break;
		pthread_mutex_unlock(&reaper->lock);
		rcu_wait_for_readers();
		pthread_mutex_lock(&reaper->lock);
		reaper->done = reaper->waiting;
		reaper->waiting = NULL;
		uint64_t one = 1;

		/* Cannot fail: the counter never comes near its limit. */
		(void)!write(reaper->event_fd, &one, sizeof(one));
	}
	pthread_mutex_unlock(&reaper->lock);
	return NULL;
}

struct reaper *reaper_start(void)
{
	struct reaper *reaper = calloc(1, sizeof(*reaper));
	int failure;

	if (!reaper)
		return NULL;
	reaper->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (reaper->event_fd < 0)
		goto err_free;
	pthread_mutex_init(&reaper->lock, NULL);
	pthread_cond_init(&reaper->work, NULL);
	failure = pthread_create(&reaper->thread, NULL, reaper_main, reaper);
	if (failure) {
		errno = failure;
		goto err_close;
	}
	pthread_setname_np(reaper->thread, "m57-reaper");
	return reaper;

err_close:
	pthread_cond_destroy(&reaper->work);
	pthread_mutex_destroy(&reaper->lock);
	failure = errno;
	close(reaper->event_fd);
	errno = failure;
err_free:
	free(reaper);
	return NULL;
}

int reaper_fd(const struct reaper *reaper)
{
	return reaper->event_fd;
}

bool reaper_busy(const struct reaper *reaper)
{
	return reaper->busy;
}

void reaper_submit(struct reaper *reaper, struct garbage *batch)
{
	reaper->busy = true;
	pthread_mutex_lock(&reaper->lock);
	reaper->waiting = batch;
	pthread_cond_signal(&reaper->work);
	pthread_mutex_unlock(&reaper->lock);
}

struct garbage *reaper_collect(struct reaper *reaper)
{
	struct garbage *batch;
	uint64_t count;

	(void)!read(reaper->event_fd, &count, sizeof(count));
	pthread_mutex_lock(&reaper->lock);
	batch = reaper->done;
	reaper->done = NULL;
	pthread_mutex_unlock(&reaper->lock);
	if (batch)
		reaper->busy = false;
	return batch;
}

struct garbage *reaper_stop(struct reaper *reaper)
{
	struct garbage *batch;

	pthread_mutex_lock(&reaper->lock);
	reaper->stop = true;
	pthread_cond_signal(&reaper->work);
	pthread_mutex_unlock(&reaper->lock);
	pthread_join(reaper->thread, NULL);
	batch = reaper->done;
	close(reaper->event_fd);
	pthread_cond_destroy(&reaper->work);
	pthread_mutex_destroy(&reaper->lock);
	free(reaper);
	return batch;
}
