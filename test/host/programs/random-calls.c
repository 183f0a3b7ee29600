/*
 * Calls at random on /dev/iommu and a VFIO group, the same ones for the same seed: by several descriptors, by a second thread and
 * by children, with closes between them, and with structs where a copy ends early, fails, or is of memory that a device writes.
 * What each has returned and left in memory is a line.
 *
 * random-calls SEED COUNT       one after the other
 * random-calls SEED COUNT many  eight processes at once, each with an iommufd of its own
 * random-calls SEED COUNT kill  children are killed in the middle of calls; what they held must be free afterwards
 */
#include "doors.h"
#include "random.h"
#include <linux/vfio.h>

enum { FDS = 6, ROOM = 0x20000000, PAGES = 4, ONE_IOVA = 0x1000000 };
static int fds[FDS];
static FILE *out;
/* PAGES of it: written, pinned at times, read-only, not there. */
static uint8_t *room;

/* Where a struct is put: mostly in the middle, or so that its end is read-only or missing, or nowhere. */
static void *place(size_t size)
{
	switch (any(10)) {
	case 0: return room + 2 * PAGE - any(size + 4); /* into what is read-only */
	case 1: return room + 3 * PAGE - any(size + 4); /* into what is missing */
	case 2: return room + 3 * PAGE + 64;
	case 3: return room + PAGE - any(size + 4);
	case 4: return any(2) ? NULL : (void *)-8L;
	default: return room + 8 * any(24);
	}
}
static void put(void *at, const void *from, size_t size)
{
	/* What is not writable stays as it is. */
	for (size_t n = 0; n < size; n++) {
		uint8_t *to = (uint8_t *)at + n;
		if (to >= room && to < room + 2 * PAGE)
			*to = ((const uint8_t *)from)[n];
	}
}
static uint32_t left(void)
{
	uint32_t sum = 0;
	for (int n = 0; n < 2 * PAGE; n++)
		sum = sum * 31 + room[n];
	return sum;
}
static void told(const char *what, long rc)
{
	fprintf(out, "%s %s %08x\n", what, name(rc), left());
	fflush(out);
}

/* A struct with what is likely to be right in it, and now and then a word that is not. */
static void command(int fd)
{
	union { uint32_t w[32]; struct ioas_map map; struct ioas_unmap unmap; struct test test; } arg = { 0 };
	static const struct { uint32_t nr, size; } known[] = {
		{ IOAS_ALLOC, 12 }, { IOAS_ALLOC, 12 }, { IOAS_MAP, 40 }, { IOAS_MAP, 40 }, { IOAS_UNMAP, 24 },
		{ DESTROY, 8 }, { TEST_CMD, sizeof(struct test) }, { TEST_CMD, sizeof(struct test) },
		{ VFIO_GROUP_GET_STATUS, 8 }, { VFIO_GROUP_GET_STATUS, 8 }, { VFIO_GET_API_VERSION, 0 },
		{ VFIO_CHECK_EXTENSION, 0 }, { 0x3bff, 16 }, { 0x3b8d, 24 },
	};
	uint32_t which = any(sizeof(known) / sizeof(*known)), size = known[which].size;
	void *at = place(size);

	arg.w[0] = any(8) ? size : any(size + 9);
	arg.w[1] = known[which].nr == DESTROY || known[which].nr == IOAS_UNMAP ? 1 + any(4) : 0;
	if (known[which].nr == IOAS_MAP)
		arg.map = (struct ioas_map){ arg.w[0], 7, 1 + any(4), 0, (uintptr_t)room, PAGE * (1 + any(2)), ONE_IOVA };
	if (known[which].nr == IOAS_UNMAP)
		arg.unmap = (struct ioas_unmap){ arg.w[0], 1 + any(4), ONE_IOVA, ~0ull };
	if (known[which].nr == TEST_CMD) {
		/* An access, and what it copies between what is mapped and memory beside the struct. */
		arg.test.op = any(2) ? CREATE_ACCESS : ACCESS_RW;
		arg.test.id = 1 + any(6);
		if (arg.test.op == ACCESS_RW) {
			arg.test.q[0] = ONE_IOVA + 8 * any(24);
			arg.test.q[1] = 8 + any(96);
			arg.test.q[2] = (uintptr_t)room + 8 * any(24);
			arg.test.w[6] = any(8);
		}
	}
	if (!any(12))
		arg.w[any(8)] = any(5) ? any(4) : ~0u;
	put(at, &arg, size);
	told("ioctl", ioctl(fd, known[which].nr, at));
}

static int node(void)
{
	static const char *const names[] = {
		"/dev/iommu", "/dev/iommu", "/dev/iommu", "/dev/vfio/vfio", "/dev/vfio/0", "/dev/null",
	};
	return open(names[any(6)], O_RDWR);
}
static void act(void)
{
	int *fd = &fds[any(FDS)];

	switch (any(16)) {
	case 0:
		close(*fd);
		*fd = node();
		told("open", *fd);
		break;
	case 1:
		told("dup", dup2(fds[any(FDS)], *fd));
		break;
	case 2:
		told("close", close(*fd));
		*fd = node();
		told("open", *fd);
		break;
	default:
		command(*fd);
	}
}

static pthread_barrier_t turn;
static void *second(void *count)
{
	for (long n = 0; n < (long)count; n++) {
		pthread_barrier_wait(&turn);
		if (n % 3 == 0)
			act();
		pthread_barrier_wait(&turn);
	}
	return NULL;
}
static void child(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		for (int n = 0; n < 5; n++)
			act();
		_exit(0);
	}
	any(7); /* from here on they differ */
	waitpid(pid, NULL, 0);
}
static void alone(long count)
{
	pthread_t thread;

	pthread_barrier_init(&turn, NULL, 2);
	pthread_create(&thread, NULL, second, (void *)count);
	for (long n = 0; n < count; n++) {
		pthread_barrier_wait(&turn);
		if (n % 3 == 1)
			act();
		else if (n % 39 == 2)
			child();
		pthread_barrier_wait(&turn);
	}
	pthread_join(thread, NULL);
}

static void many(long count)
{
	enum { PROCESSES = 8 };
	FILE *said[PROCESSES];
	char line[256];

	for (int n = 0; n < PROCESSES; n++) {
		said[n] = tmpfile();
		if (fork())
			continue;
		out = said[n];
		state += n;
		/* A group is one of all of them: who has it first is no matter of the seed. */
		for (int i = 0; i < FDS; i++)
			fds[i] = i % 2 ? dup(fds[i - 1]) : iommufd();
		for (long i = 0; i < count; i++)
			command(fds[any(FDS)]);
		_exit(0);
	}
	while (wait(NULL) > 0)
		;
	for (int n = 0; n < PROCESSES; n++)
		for (rewind(said[n]); fgets(line, sizeof(line), said[n]);)
			printf("%d: %s", n, line);
}

static void killing(long count)
{
	struct vfio_group_status status = { sizeof(status) };

	for (long n = 0; n < count; n++) {
		pid_t pid = fork();
		int group;

		if (pid == 0) {
			group = open("/dev/vfio/0", O_RDWR);
			for (;;)
				ioctl(group, VFIO_GROUP_GET_STATUS, &status);
		}
		usleep(any(3000));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		group = open("/dev/vfio/0", O_RDWR);
		told("the group afterwards", group < 0 ? -1 : 0);
		told("its status", ioctl(group, VFIO_GROUP_GET_STATUS, &status));
		close(group);
	}
}

int main(int argc, char **argv)
{
	long count = atol(argv[2]);

	state = 0x9e3779b97f4a7c15ull * (atol(argv[1]) + 1);
	out = stdout;
	room = mmap((void *)ROOM, PAGES * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	memset(room, 0x5a, 3 * PAGE);
	mprotect(room + 2 * PAGE, PAGE, PROT_READ);
	munmap(room + 3 * PAGE, PAGE);
	for (int n = 0; n < FDS; n++)
		fds[n] = 500 + n;
	if (argc > 3 && strcmp(argv[3], "many") == 0)
		many(count);
	else if (argc > 3)
		killing(count);
	else
		alone(count);
	return 0;
}
