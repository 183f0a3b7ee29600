/* Pages of a vIOMMU, mapped: who keeps what alive; and control files read, written and mapped. */
#include "doors.h"
#include <linux/vfio.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define LENGTH (2 * PAGE)
static struct eventful on;
static void *pages(int prot, int flags, uint64_t length, uint64_t offset)
{
	return mmap(NULL, length, prot, flags, on.fd, offset);
}
static void *both(void) { return pages(PROT_READ | PROT_WRITE, MAP_SHARED, LENGTH, on.data.offset); }
static long mapped(void *at) { return at == MAP_FAILED ? -1 : 0; }
/* In the order the objects need: what is left is the pages. */
static long destroyed(void)
{
	static int bare;
	if (!bare++) {
		destroy(on.fd, on.stdev);
		close(on.queue);
		destroy(on.fd, on.queue_id);
		destroy(on.fd, on.nested);
	}
	return destroy(on.fd, on.viommu);
}

static void refusals(void)
{
	SAY("published", "%d", on.data.length == LENGTH && on.data.offset % PAGE == 0);
	SHOW("mapped privately", mapped(pages(PROT_READ, MAP_PRIVATE, LENGTH, on.data.offset)));
	SHOW("to execute", mapped(pages(PROT_READ | PROT_EXEC, MAP_SHARED, LENGTH, on.data.offset)));
	SHOW("a page of it", mapped(pages(PROT_READ, MAP_SHARED, PAGE, on.data.offset)));
	SHOW("its second page", mapped(pages(PROT_READ, MAP_SHARED, PAGE, on.data.offset + PAGE)));
	SHOW("more than it has", mapped(pages(PROT_READ, MAP_SHARED, LENGTH + PAGE, on.data.offset)));
	SHOW("nothing that was published", mapped(pages(PROT_READ, MAP_SHARED, LENGTH, on.data.offset + 0x10000)));
	SHOW("through another context", mapped(mmap(NULL, LENGTH, PROT_READ, MAP_SHARED, iommufd(), on.data.offset)));
}

static void lives(void)
{
	volatile uint32_t *first = both(), *second = both(), *third = both();
	int ends[2], back[2], status;

	SAY("shown", "%#x", first[0]);
	first[1] = 5;
	SAY("stores are seen in all", "%d", second[1] == 5 && third[1] == 5);
	SHOW("the vIOMMU destroyed", destroyed());
	/* One after the other without a call of ours between them. */
	munmap((void *)first, LENGTH);
	munmap((void *)second, LENGTH);
	SHOW("with one mapping left", destroyed());
	SAY("which still shows", "%#x", third[0]);
	first = both();
	munmap((void *)third, LENGTH);
	SHOW("with one made since", destroyed());
	munmap((char *)first + PAGE, PAGE);
	SHOW("with half of it", destroyed());
	SAY("the other half", "%#x", first[0]);
	third = mremap((void *)first, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, page(0));
	SHOW("with that moved", destroyed());

	pipe(ends);
	pipe(back);
	if (fork() == 0) {
		await(ends[0]);
		SAY("a child sees it when its parent has unmapped", "%#x", third[0]);
		tell(back[1]);
		await(ends[0]);
		_exit(0);
	}
	munmap((void *)third, PAGE);
	SHOW("with the child's", destroyed());
	tell(ends[1]);
	await(back[0]);
	SHOW("still", destroyed());
	tell(ends[1]);
	wait(&status);
	SHOW("with none", destroyed());
}

static void outlives(void)
{
	volatile uint32_t *at = both();

	at[1] = 9;
	close(on.queue);
	close(on.fd);
	SAY("a mapping outlives the descriptors", "%#x %d", at[0], at[1]);
	munmap((void *)at, LENGTH);
}

/* What a descriptor's name in /proc says of it. */
static const char *named(int fd)
{
	static char text[8][160];
	static int turn;
	char *into = text[turn++ & 7], path[32], target[64];
	struct stat by_name, by_fd;
	long length;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	length = readlink(path, target, sizeof(target));
	if (stat(path, &by_name) || fstat(fd, &by_fd))
		return strerrorname_np(errno);
	snprintf(into, sizeof(text[0]), "%.*s, %s, %s", (int)length, target,
		 S_ISCHR(by_name.st_mode) ? "a character device" : "no device",
		 by_name.st_ino == by_fd.st_ino && by_name.st_rdev == by_fd.st_rdev ? "the same" : "another");
	return into;
}

/* Files that are for ioctls only. */
static void control(const char *what, int fd)
{
	static char buffer[PAGE];
	struct iovec vector = { buffer, 40 };
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN | POLLOUT };
	struct epoll_event event = { .events = EPOLLIN };

	printf("%s: read %s, of 40 bytes %s, of a page %s, readv %s, ", what, name(read(fd, buffer, 4)),
	       name(read(fd, buffer, 40)), name(read(fd, buffer, PAGE)), name(readv(fd, &vector, 1)));
	printf("pread %s, write %s, of a page %s, writev %s, ", name(pread(fd, buffer, 4, 0)),
	       name(write(fd, buffer, 4)), name(write(fd, buffer, PAGE)), name(writev(fd, &vector, 1)));
	printf("pwrite %s, ", name(pwrite(fd, buffer, 4, 0)));
	printf("mmap %s, ", name(mapped(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0))));
	printf("ftruncate %s, fallocate %s, ", name(ftruncate(fd, PAGE)), name(fallocate(fd, 0, 0, PAGE)));
	poll(&poll_fd, 1, 0);
	printf("poll %#x, epoll %s\n", poll_fd.revents, name(epoll_ctl(epoll_create1(0), EPOLL_CTL_ADD, fd, &event)));
	fflush(stdout);
}

/* A queue that no device of this machine can fill, at a number where not every read is looked at. */
static void empty_queue(void)
{
	struct fault_alloc queue = { sizeof(queue) };
	struct fault message[2];
	struct pollfd poll_fd = { .events = POLLIN | POLLOUT };

	ioctl(iommufd(), FAULT_QUEUE_ALLOC, &queue);
	poll_fd.fd = dup2(queue.out_fd, 50);
	poll(&poll_fd, 1, 0);
	SAY("an empty fault queue at 50: poll", "%#x", poll_fd.revents);
	SHOW("read of it", read(50, message, 40));
	SHOW("of two messages", read(50, message, 80));
	SHOW("an answer to nothing", write(50, &(struct response){ 1, 0 }, 8));
	SHOW("a part of a message where it was made", read(queue.out_fd, message, 39));
	SHOW("opened by its name in /proc", open("/proc/self/fd/50", O_RDONLY));
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "names")) {
		struct fault_alloc queue = { sizeof(queue) };
		int fd = iommufd();

		ioctl(fd, FAULT_QUEUE_ALLOC, &queue);
		SAY("an iommufd", "%s", named(fd));
		SAY("a cdev", "%s", named(open("/dev/vfio/devices/vfio0", O_RDWR)));
		SAY("a queue", "%s", named(queue.out_fd));
		return 0;
	}
	if (argc > 1) {
		control("an iommufd", iommufd());
		control("a container", open("/dev/vfio/vfio", O_RDWR));
		control("a group", open("/dev/vfio/0", O_RDWR));
		control("a cdev", open("/dev/vfio/devices/vfio0", O_RDWR));
		empty_queue();
		return 0;
	}
	on = eventful(2);
	refusals();
	lives();
	close(on.fd);
	on = eventful(2);
	outlives();
	return 0;
}
