/* signals.c - see signals.h. */
#include "system/signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

void signals_hold(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
}

int signals_open(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	int failure = pthread_sigmask(SIG_BLOCK, &set, NULL);

	if (failure)
		return -failure;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a log file may be full, too */
	/* nobody's here, and a process that ends by one says nothing; nebula stays too */
	signal(SIGUSR2, SIG_IGN);
	signal(SIGALRM, SIG_IGN);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* By the signal, which is the default again; the first process of a container survives that. */
static void end_process(int number)
{
	raise(number);
	_exit(128 + number);
}

void signals_end_at_once(bool at_once)
{
	const struct sigaction action = {.sa_handler = at_once ? end_process : SIG_DFL,
					 .sa_flags = SA_RESETHAND | SA_NODEFER};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigaction(SIGINT, &action, NULL);
	if (at_once)
		(void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

int signals_next(int fd)
{
	struct signalfd_siginfo info;

	return read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info) ? (int)info.ssi_signo : 0;
}
