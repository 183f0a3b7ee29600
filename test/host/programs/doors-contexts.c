/* Several contexts of /dev/iommu, and one of them through dup, fork, exec and sockets, while others close it. */
#include "doors.h"
#include <linux/vfio.h>
#include <poll.h>

static void contexts(void)
{
	int a = iommufd(), b = iommufd();
	char *memory = page(0), read_back[8] = { 0 };
	int access;

	strcpy(memory, "both");
	SHOW("an IOAS of the first", ioas_alloc(a));
	SHOW("another of the first", ioas_alloc(a));
	SHOW("the first of the second", ioas_alloc(b));
	SHOW("the first's other, destroyed through the second", destroy(b, 2));
	SHOW("and used", map(b, 2, memory, PAGE));
	SHOW("memory mapped in the first", map(a, 1, memory, PAGE));
	SHOW("and in the second", map(b, 1, memory, PAGE));
	SHOW("through the second it is found", (access = create_access(b, 1)) < 0 ? -1 : 0);
	close(a);
	SHOW("when the first is closed", access_read(b, access, IOVA, read_back, 4));
	SAY("the bytes", "%s", read_back);
	SHOW("unmapped", unmap(b, 1));
	close(access);
	SHOW("destroyed", destroy(b, 1));
	close(b);
}

static void copies(void)
{
	int fd = iommufd(), copy = dup(fd), high = fcntl(fd, F_DUPFD_CLOEXEC, 500), again;
	char path[32];

	dup2(fd, 0);
	dup3(fd, 900, O_CLOEXEC);
	SHOW("an IOAS by the first descriptor", ioas_alloc(fd));
	close(fd);
	SHOW("by its copy", ioas_alloc(copy));
	SHOW("by one above 500", ioas_alloc(high));
	SHOW("by standard input", ioas_alloc(0));
	SHOW("by 900", ioas_alloc(900));
	SHOW("by the closed one", ioas_alloc(fd));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", copy);
	again = open(path, O_RDWR);
	SHOW("opened again by its name in /proc, a context of its own", ioas_alloc(again));
	close(again);
	again = open("/dev/stdin", O_RDWR);
	SHOW("and as standard input", ioas_alloc(again));
	close(again);
	SHOW("which leaves the first as it was", ioas_alloc(copy));
	dup2(900, copy);
	SHOW("a copy replaced by a copy", ioas_alloc(copy));
	close(0); close(copy); close(high); close(900);
	open("/dev/null", O_RDONLY);
}

static void children(void)
{
	int fd = iommufd(), socket[2], status;
	char *memory = page(1);

	socketpair(AF_UNIX, SOCK_STREAM, 0, socket);
	memory[0] = 7;
	ioas_alloc(fd);
	if (fork() == 0) {
		await(socket[1]);
		SHOW("a child, when its parent has closed", ioas_alloc(fd));
		SHOW("the child maps", map(fd, 1, memory, PAGE));
		_exit(0);
	}
	close(fd);
	tell(socket[0]);
	wait(&status);
	fd = iommufd();
	SHOW("a context afterwards", ioas_alloc(fd));
	close(fd);
}

static void executed(const char *self)
{
	int kept = iommufd(), gone = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	struct faulty on = faulty();
	char texts[3][16];

	ioas_alloc(kept);
	fcntl(on.fd, F_SETFD, FD_CLOEXEC);
	fcntl(on.queue, F_SETFD, 0);
	fault(&on, 5);
	snprintf(texts[0], 16, "%d", kept);
	snprintf(texts[1], 16, "%d", gone);
	snprintf(texts[2], 16, "%d", on.queue);
	if (fork() == 0)
		execl(self, self, "after-exec", texts[0], texts[1], texts[2], NULL);
	close(kept); close(gone); close(on.fd); close(on.queue);
	wait(NULL);
}
static void after_exec(char **arg)
{
	struct fault message = { 0 };

	SHOW("after exec, what was kept", ioas_alloc(atoi(arg[0])));
	SHOW("what was to be closed", ioas_alloc(atoi(arg[1])));
	SHOW("the queue of a closed iommufd", read(atoi(arg[2]), &message, sizeof(message)));
	SAY("its fault", "%u", message.grpid);
}

enum { IOMMUFD, FAULTS, EVENTS, EVENT_FD, CDEV, FDS };
static void receiver(int socket)
{
	int fd[FDS];
	struct fault message = { 0 };
	struct event record = { 0 };
	struct response response = { 0 };
	struct vfio_device_info info = { .argsz = sizeof(info) };
	struct { uint32_t argsz, flags, fd, devid; } bind = { 16 };

	receive_fds(socket, fd, FDS);
	SAY("descriptors as low as they are free", "%d", fd[FAULTS] < 100 && fd[EVENTS] < 100);
	SHOW("an iommufd over a socket", ioas_alloc(fd[IOMMUFD]));
	SHOW("its fault queue", read(fd[FAULTS], &message, sizeof(message)));
	SAY("the fault", "%u", message.grpid);
	response.cookie = message.cookie;
	SHOW("its answer", write(fd[FAULTS], &response, sizeof(response)));
	SHOW("an event queue", read(fd[EVENTS], &record, sizeof(record)));
	SAY("the event", "%#x", record.virt_id);
	SHOW("the cdev before it is bound", ioctl(fd[CDEV], VFIO_DEVICE_GET_INFO, &info));
	bind.fd = fd[IOMMUFD];
	SHOW("bound here", ioctl(fd[CDEV], _IO(';', 118), &bind));
	SHOW("and then", ioctl(fd[CDEV], VFIO_DEVICE_GET_INFO, &info));
	tell(socket);
	await(socket);
	_exit(0);
}
static void sockets(void)
{
	struct faulty on = faulty();
	struct eventful events = eventful(4);
	int socket[2], fd[FDS] = { on.fd, on.queue, events.queue, events.fd }, other;
	struct { uint32_t argsz, flags, fd, devid; } bind = { 16 };

	socketpair(AF_UNIX, SOCK_STREAM, 0, socket);
	if (fork() == 0) {
		closefrom(900);
		close(on.fd); close(events.fd);
		dup2(socket[1], 3);
		closefrom(4);
		receiver(3);
	}
	fd[CDEV] = open("/dev/vfio/devices/vfio0", O_RDWR);
	fault(&on, 9);
	event(&events);
	send_fds(socket[0], fd, FDS);
	for (int n = 0; n < FDS; n++)
		close(fd[n]);
	await(socket[0]);
	other = open("/dev/vfio/devices/vfio0", O_RDWR);
	bind.fd = iommufd();
	SHOW("the device while the other process has it", ioctl(other, _IO(';', 118), &bind));
	tell(socket[0]);
	wait(NULL);
	SHOW("when it has ended", ioctl(other, _IO(';', 118), &bind));
	close(other);
	close(bind.fd);

	/* In a socket that nobody reads: with the socket it goes. */
	other = open("/dev/vfio/devices/vfio0", O_RDWR);
	bind.fd = iommufd();
	ioctl(other, _IO(';', 118), &bind);
	send_fds(socket[0], &other, 1);
	close(other);
	other = open("/dev/vfio/devices/vfio0", O_RDWR);
	SHOW("the device while it is under way", ioctl(other, _IO(';', 118), &bind));
	close(socket[0]);
	close(socket[1]);
	SHOW("when the socket is gone", ioctl(other, _IO(';', 118), &bind));
	close(other);
	close(bind.fd);
}

static volatile int shared, others, done;
static void *hammer(void *arg)
{
	while (!done)
		if (ioas_alloc(shared) < 0 && errno != EBADF)
			others = errno;
	return NULL;
}
static void *poller(void *arg)
{
	struct pollfd poll_fd = { .fd = *(int *)arg, .events = POLLIN };

	poll(&poll_fd, 1, 20000);
	return (void *)(long)poll_fd.revents;
}
static void closed_in_use(void)
{
	struct faulty on;
	struct fault message;
	pthread_t threads[3];
	void *seen;

	shared = iommufd();
	for (int n = 0; n < 3; n++)
		pthread_create(&threads[n], NULL, hammer, NULL);
	for (int round = 0; round < 20; round++) {
		int old = shared;
		shared = iommufd();
		close(old);
		usleep(2000);
	}
	close(shared);
	done = 1;
	for (int n = 0; n < 3; n++)
		pthread_join(threads[n], NULL);
	SAY("of calls during closes, anything but success and EBADF", "%s", others ? strerrorname_np(others) : "nothing");

	on = faulty();
	pthread_create(&threads[0], NULL, poller, &on.queue);
	usleep(50000);
	close(on.queue);
	fault(&on, 1);
	pthread_join(threads[0], &seen);
	SAY("who polls a queue is woken by a fault, and finds it closed", "%d", (long)seen == POLLNVAL);
	SHOW("but cannot read it", read(on.queue, &message, sizeof(message)));
	attach(on.fd, on.stdev, on.ioas);
	destroy(on.fd, on.nested);
	SHOW("the queue is gone with its last user", destroy(on.fd, on.fault));
	close(on.fd);
}

int main(int argc, char **argv)
{
	if (argc > 2) {
		after_exec(argv + 2);
		return 0;
	}
	contexts();
	copies();
	children();
	executed(argv[0]);
	sockets();
	closed_in_use();
	return 0;
}
