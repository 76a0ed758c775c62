/*
 * tun_setup.c - see tun_setup.h.
 *
 * The offload mask belongs to the device and not to the queue: TUNSETOFFLOAD on a second queue
 * replaces the mask for all of them. So the ladder of masks is climbed down once, on the first
 * queue, and the mask that was taken is replayed on every other one.
 *
 * A device that somebody has made to stay (ip tuntap add) is taken as it is when nobody has it
 * open: then its carrier is off, and it says of itself that it is persistent. It is left as it was
 * found, for a stock node takes no super-packets.
 *
 * The descriptors are blocking here; the dataplane changes that where the kernel's tier asks for
 * it.
 */
#include "system/tun_setup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "system/netlink.h"
#include "vnet.h"

#ifndef TUNSETSTEERINGEBPF
#define TUNSETSTEERINGEBPF _IOR('T', 224, int)
#endif

#define TUN_PATH          "/dev/net/tun"
#define TUN_RETRY_STEP_MS 50
#define REMOVED_QUEUES    2 /* with more a device is removed, not only closed */

static const unsigned tso_mask = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
static const unsigned uso_mask = TUN_F_USO4 | TUN_F_USO6; /* one without the other is EINVAL */

/* The character device, made when the file system lacks it (containers). A descriptor or -errno. */
static int device_open(char *error)
{
	int fd = open(TUN_PATH, O_RDWR | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) {
		(void)mkdir("/dev/net", 0755);
		if (mknod(TUN_PATH, S_IFCHR | 0600, makedev(10, 200)) == 0 || errno == EEXIST)
			fd = open(TUN_PATH, O_RDWR | O_CLOEXEC);
		else
			errno = ENOENT;
	}
	if (fd >= 0)
		return fd;

	int failure = errno;
	const char *cure = "check the permissions of the file, or run as root";

	if (failure == ENOENT)
		cure = "run as root, or make it: mkdir -p /dev/net; mknod /dev/net/tun c 10 200";
	else if (failure == ENODEV || failure == ENXIO)
		cure = "load the kernel module: modprobe tun";
	else if (failure == EMFILE)
		cure = "raise the limit of open files (ulimit -n)";
	else if (failure == EPERM)
		cure = "allow the container the device: --device /dev/net/tun --cap-add NET_ADMIN";
	snprintf(error, ERROR_LINE_MAX, "cannot open %s: %s; %s", TUN_PATH, strerror(failure),
		 cure);
	return -failure;
}

static const char *attach_cure(int failure)
{
	switch (failure) {
	case EPERM:
	case EACCES:
		return "run as root or with CAP_NET_ADMIN";
	case EBUSY:
		return "another process or interface has that name: stop it, or change tun.dev";
	case EINVAL:
		return "tun.dev must be an interface name of at most 15 characters; a device that "
		       "is there already needs a queue for each routine: ip tuntap add dev NAME "
		       "mode tun multi_queue";
	default:
		return "see the kernel log";
	}
}

static int sleep_step(void)
{
	struct timespec step = {.tv_nsec = TUN_RETRY_STEP_MS * 1000000l};

	return nanosleep(&step, NULL);
}

/* Asks the kernel about the device in request. 0 or -errno. */
static int device_ask(unsigned long question, struct ifreq *request, const char *name)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), result;

	if (fd < 0)
		return -errno;
	snprintf(request->ifr_name, sizeof(request->ifr_name), "%s", name);
	result = ioctl(fd, question, request) == 0 ? 0 : -errno;
	close(fd);
	return result;
}

static bool runs(const char *name)
{
	struct ifreq request = {0};

	return device_ask(SIOCGIFFLAGS, &request, name) == 0 && (request.ifr_flags & IFF_RUNNING);
}

/* Attaches a descriptor to the persistent device name. It, or -errno. */
static int attach_persistent(const char *name, short flags, char *error)
{
	struct ifreq request = {.ifr_flags = flags};
	int fd = device_open(error), failure;

	if (fd < 0)
		return fd;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &request) != 0)
		failure = errno;
	else if (ioctl(fd, TUNGETIFF, &request) == 0 && (request.ifr_flags & IFF_PERSIST))
		return fd;
	else
		failure = EBUSY;
	close(fd);
	return -failure;
}

/*
 * The first queue of a device that is there already, if it is persistent and nobody has it open. A
 * single queue fits one made for several too: flags become what the device has. -EINVAL: it was
 * made for one, and they are to be several; -EBUSY: in someone's hands, or no tun device.
 */
static int take_persistent(struct tun_device *device, short *flags, char *error)
{
	short others = *flags ^ IFF_MULTI_QUEUE;
	int fd = runs(device->name) ? -EBUSY : attach_persistent(device->name, *flags, error);

	if (fd == -EINVAL) {
		fd = attach_persistent(device->name, others, error);
		if (fd == -EINVAL)
			return -EBUSY;
		if (fd >= 0 && *flags & IFF_MULTI_QUEUE) {
			close(fd);
			return -EINVAL;
		}
		*flags = others;
	}
	device->persistent = fd >= 0;
	return fd;
}

static int open_error(const char *what, const char *name, int failure, char *error)
{
	snprintf(error, ERROR_LINE_MAX, "cannot %s tun device %s: %s; %s", what,
		 name[0] ? name : "(tun.dev unset)", strerror(failure), attach_cure(failure));
	return -failure;
}

int tun_has_one_queue(const char *name, char error[ERROR_LINE_MAX])
{
	for (unsigned waited_ms = 0;; waited_ms += TUN_RETRY_STEP_MS) {
		if (if_nametoindex(name) == 0)
			return 0;
		/* the kernel lets one descriptor at a time have it, so it is nobody else's */
		int fd = attach_persistent(name, IFF_TUN | IFF_NO_PI, error);

		if (fd >= 0)
			close(fd);
		if (fd != -EBUSY)
			return fd >= 0;
		if (waited_ms >= TUN_BUSY_RETRY_MS || sleep_step() != 0)
			return open_error("create", name, EBUSY, error);
	}
}

/* Opens one queue of device->name; the first makes the device and learns its name, or takes a
 * persistent one. */
static int queue_open(struct tun_device *device, short *flags, bool first, char *error)
{
	int fd = device_open(error), failure, taken;

	if (fd < 0)
		return fd;
	for (unsigned waited_ms = 0;; waited_ms += TUN_RETRY_STEP_MS) {
		struct ifreq request = {.ifr_flags = (short)(*flags | (first ? IFF_TUN_EXCL : 0))};

		memcpy(request.ifr_name, device->name, sizeof(request.ifr_name));
		if (ioctl(fd, TUNSETIFF, &request) == 0) {
			memcpy(device->name, request.ifr_name, sizeof(device->name));
			return fd;
		}
		failure = errno;
		if (first && failure == EBUSY) {
			taken = take_persistent(device, flags, error);
			if (taken >= 0) {
				close(fd);
				return taken;
			}
			failure = -taken;
		}
		if (failure != EBUSY || waited_ms >= TUN_BUSY_RETRY_MS || sleep_step() != 0)
			break;
	}
	close(fd);
	return open_error(first ? "create" : "add a queue to", device->name, failure, error);
}

/* The largest mask the kernel takes; sets tso and uso. */
static unsigned offloads_choose(struct tun_device *device)
{
	if (ioctl(device->fds[0], TUNSETOFFLOAD, tso_mask | uso_mask) == 0) {
		device->tso = device->uso = true;
		return tso_mask | uso_mask;
	}
	if (ioctl(device->fds[0], TUNSETOFFLOAD, tso_mask) == 0) {
		device->tso = true;
		return tso_mask;
	}
	return 0;
}

static int give_up(struct tun_device *device, const char *what, const char *cure, char *error)
{
	int failure = errno;

	snprintf(error, ERROR_LINE_MAX, "cannot %s %s: %s; set %s", what, device->name,
		 strerror(failure), cure);
	tun_close(device);
	return -failure;
}

static int index_learn(struct tun_device *device, char *error)
{
	struct ifreq request = {0};
	int result = device_ask(SIOCGIFINDEX, &request, device->name);

	if (result == 0) {
		device->index = (unsigned)request.ifr_ifindex;
		return 0;
	}
	errno = -result;
	if (result != -ENODEV)
		return give_up(device, "ask about", "a higher limit of open files", error);
	/* somebody has renamed it */
	return give_up(device, "find", "another tun.dev", error);
}

int tun_open(struct tun_device *device, const struct tun_options *options,
	     char error[ERROR_LINE_MAX])
{
	short flags = IFF_TUN | IFF_NO_PI;
	unsigned mask = 0;

	memset(device, 0, sizeof(*device));
	if (strlen(options->name) >= sizeof(device->name)) {
		snprintf(error, ERROR_LINE_MAX, "cannot create tun device %s: %s", options->name,
			 attach_cure(EINVAL));
		return -EINVAL;
	}
	strcpy(device->name, options->name);
	device->vnet_hdr = options->offloads;
	if (options->offloads)
		flags |= IFF_VNET_HDR;
	if (options->queues > 1)
		flags |= IFF_MULTI_QUEUE;

	for (uint32_t i = 0; i < options->queues; i++) {
		int fd = queue_open(device, &flags, i == 0, error);

		if (fd < 0) {
			tun_close(device);
			return fd;
		}
		device->fds[device->queues++] = fd;
		if (!options->offloads)
			continue;
		if (i == 0)
			mask = offloads_choose(device);
		else if (mask && ioctl(fd, TUNSETOFFLOAD, mask) != 0)
			goto err_offload;
	}
	if (options->program && ioctl(device->fds[0], TUNSETSTEERINGEBPF, options->program) != 0)
		goto err_program;
	return index_learn(device, error);

err_offload:
	return give_up(device, "set the offloads of a queue of", "tun.use_offloads: false", error);
err_program:
	return give_up(device, "choose the queues of", "m57.sparse_queue: false", error);
}

/*
 * The kernel waits for its readers with each queue that is closed, one queue after the other: on
 * two busy CPUs 64 of them took 14 s. A device that is removed takes all its queues along at once.
 * Not where somebody has made it stay meanwhile, or taken it away, so that its name or index may be
 * another's here.
 */
static void device_remove(const struct tun_device *device)
{
	struct ifreq now = {0}, known = {0};
	struct netlink *netlink;

	if (ioctl(device->fds[0], TUNGETIFF, &now) != 0 || (now.ifr_flags & IFF_PERSIST) ||
	    device_ask(SIOCGIFINDEX, &known, now.ifr_name) != 0 ||
	    (unsigned)known.ifr_ifindex != device->index)
		return;
	netlink = netlink_open();
	if (!netlink)
		return;
	(void)netlink_link_remove(netlink, device->index);
	netlink_close(netlink);
}

void tun_close(struct tun_device *device)
{
	static const int none = -1;

	if (device->queues > REMOVED_QUEUES)
		device_remove(device);

	if (device->persistent && device->queues) {
		(void)ioctl(device->fds[0], TUNSETOFFLOAD, 0);
		(void)ioctl(device->fds[0], TUNSETSTEERINGEBPF, &none);
	}
	while (device->queues)
		close(device->fds[--device->queues]);
}
