/*
 * A device in the middle of its work is taken to another one, as a VMM does it: what the first had begun the second ends
 * (vfio.md 2.10). Arguments: the groups and the names of two edus of the same options.
 */
#include "device.h"
#include <errno.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

/* What older headers lack. */
enum { GET = 1 << 16, SET = 1 << 17 };
enum { MIGRATION = 1, DEVICE_STATE = 2, LOGGING_START = 6, LOGGING_STOP = 7, LOGGING_REPORT = 8, DATA_SIZE = 9 };
enum { STOP = 1, RUNNING = 2, STOP_COPY = 3, RESUMING = 4, RUNNING_P2P = 5, PRE_COPY = 6 };
#define MIG_GET_PRECOPY_INFO _IO(VFIO_TYPE, VFIO_BASE + 21)

enum { LIVENESS = 0x04, SOURCE = 0x80, DESTINATION = 0x88, COUNT = 0x90, COMMAND = 0x98, BUFFER = 0x40000 };
#define IOVA 0x100000ull
#define SIZE 0x10000ul

static long feature(int device, uint32_t flags, void *data, uint32_t size)
{
	struct {
		uint32_t argsz, flags;
		uint8_t data[64];
	} arg = { .argsz = 8 + size, .flags = flags };
	long rc;

	memcpy(arg.data, data, size);
	rc = ioctl(device, _IO(VFIO_TYPE, VFIO_BASE + 17), &arg);
	memcpy(data, arg.data, size);
	return rc < 0 ? -errno : rc;
}
/* The data fd, -1 without one, or minus an errno below that. */
static int set_state(int device, uint32_t state)
{
	struct {
		uint32_t state;
		int32_t fd;
	} mig = { state, 99 };
	long rc = feature(device, SET | DEVICE_STATE, &mig, sizeof(mig));

	return rc < 0 ? (int)rc - 1 : mig.fd;
}
static uint32_t state_of(int device)
{
	struct {
		uint32_t state;
		int32_t fd;
	} mig = { 0, 0 };

	feature(device, GET | DEVICE_STATE, &mig, sizeof(mig));
	return mig.state;
}
static void start(volatile uint8_t *bar, uint64_t source, uint64_t destination, uint64_t command)
{
	*(volatile uint64_t *)(bar + SOURCE) = source;
	*(volatile uint64_t *)(bar + DESTINATION) = destination;
	*(volatile uint64_t *)(bar + COUNT) = 64;
	*(volatile uint64_t *)(bar + COMMAND) = command;
}
static void wait_for(volatile uint8_t *bar)
{
	for (int n = 0; n < 3000 && *(volatile uint64_t *)(bar + COMMAND) & 1; n++)
		usleep(10000);
}
static void master(int device)
{
	uint16_t command = 6;

	if (pwrite(device, &command, 2, (7ull << 40) + 4) != 2)
		exit(4);
}
/* All that comes now. */
static size_t drain(int fd, uint8_t *into, size_t room, int *end)
{
	size_t length = 0;
	ssize_t n;

	while ((n = read(fd, into + length, room - length < 777 ? room - length : 777)) > 0)
		length += n;
	*end = n < 0 ? errno : 0;
	return length;
}
/* What the log has of the pages of IOVA; bits are added. */
static unsigned long logged(int device)
{
	uint64_t bitmap = 1ull << 63;
	uint64_t report[4] = { IOVA, SIZE, 4096, (uintptr_t)&bitmap };
	long rc = feature(device, GET | LOGGING_REPORT, report, sizeof(report));

	return rc < 0 ? 0 : (unsigned long)bitmap;
}

int main(int argc, char **argv)
{
	static uint8_t stream[1 << 20];
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map), .flags = 3, .iova = IOVA, .size = SIZE };
	struct by_group a = argc == 5 ? open_by_group(argv[1], argv[2], 0) : (struct by_group){ -1, -1, -1 };
	char path[64];
	int group, b, fd, end, length = 0;
	uint8_t *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 5)
		return 2;
	snprintf(path, sizeof(path), "/dev/vfio/%s", argv[3]);
	group = open(path, O_RDWR);
	ioctl(group, VFIO_GROUP_SET_CONTAINER, &a.container);
	b = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, argv[4]);
	map.vaddr = (uintptr_t)memory;
	if (ioctl(a.container, VFIO_IOMMU_MAP_DMA, &map))
		return 5;
	volatile uint8_t *bar_a = map_bar0(a.device), *bar_b = map_bar0(b);
	master(a.device);
	master(b);

	uint64_t flags = 0, size = 0, range[2] = { IOVA, SIZE };
	printf("features: %ld", feature(a.device, GET | MIGRATION, &flags, 8));
	printf(", %lu\n", (unsigned long)flags);
	struct {
		uint64_t page;
		uint32_t ranges, reserved;
		uint64_t at;
	} control = { 4096, 1, 0, (uintptr_t)range };
	printf("log: %ld\n", feature(b, SET | LOGGING_START, &control, sizeof(control)));

	/* The state: a register, a buffer, and a transfer that has begun. */
	*(volatile uint32_t *)(bar_a + LIVENESS) = 0x1234;
	memset(memory + 0x8000, 0xa5, 64);
	start(bar_a, IOVA + 0x8000, BUFFER, 1);
	wait_for(bar_a);
	start(bar_a, BUFFER, IOVA + 0x3000, 3);

	fd = set_state(a.device, PRE_COPY);
	printf("PRE_COPY: %d\n", fd >= 0);
	struct {
		uint32_t argsz, flags;
		uint64_t initial, dirty;
	} info = { .argsz = sizeof(info) };
	printf("info: %d", ioctl(fd, MIG_GET_PRECOPY_INFO, &info));
	printf(", %d\n", info.initial > 0);
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	printf("readable: %d\n", poll(&ready, 1, 0));
	printf("a buffer that is nowhere: %s\n", read(fd, (void *)16, 64) < 0 ? strerror(errno) : "read");
	length = drain(fd, stream, sizeof(stream), &end);
	printf("as many as was said: %d, %s\n", length == (int)info.initial, end == ENOMSG ? "then none for now" : strerror(end));
	printf("STOP_COPY: %d\n", set_state(a.device, STOP_COPY));
	uint8_t before = memory[0x3000];
	feature(a.device, GET | DATA_SIZE, &size, 8);
	printf("size is told: %d\n", size > 0);
	printf("no info: %d\n", ioctl(fd, MIG_GET_PRECOPY_INFO, &info) < 0 ? errno : 0);

	/* Another process reads the rest, as a migration thread's process may. */
	int pipes[2], got = 0;
	if (pipe(pipes))
		return 6;
	if (fork() == 0) {
		uint8_t rest[1 << 17];
		size_t n = drain(fd, rest, sizeof(rest), &end);

		_exit(write(pipes[1], rest, n) == (ssize_t)n && end == 0 ? 0 : 1);
	}
	close(pipes[1]);
	while ((got = read(pipes[0], stream + length, sizeof(stream) - length)) > 0)
		length += got;
	int status;
	wait(&status);
	printf("the rest in another process: %d\n", WEXITSTATUS(status));
	usleep(50000);
	printf("moved while stopped: %d\n", memory[0x3000] != before);
	printf("registers while stopped: %x\n", *(volatile uint32_t *)(bar_a + LIVENESS));
	close(fd);

	int to = set_state(b, RESUMING);
	for (int at = 0; at < length;) {
		ssize_t n = write(to, stream + at, length - at < 1001 ? length - at : 1001);

		if (n < 0) {
			printf("write: %s\n", strerror(errno));
			break;
		}
		at += n;
	}
	printf("STOP: %d\n", set_state(b, STOP));
	close(to);
	printf("RUNNING: %d\n", set_state(b, RUNNING));
	printf("the register: %x\n", ~*(volatile uint32_t *)(bar_b + LIVENESS));
	wait_for(bar_b);
	printf("the transfer: %x\n", memory[0x3000]);
	printf("logged by the second, at most: %d\n", (logged(b) & ~(1ull << 63)) <= 1 << 3);
	start(bar_b, BUFFER, IOVA + 0x5000, 3);
	wait_for(bar_b);
	printf("logged: %lx\n", logged(b));
	printf("once: %lx\n", logged(b));
	printf("no way: %d", set_state(b, 0));
	printf(", state %u\n", state_of(b));
	printf("the first goes on: %d", set_state(a.device, RUNNING));
	printf(", state %u\n", state_of(a.device));
	printf("log: %ld\n", feature(b, SET | LOGGING_STOP, NULL, 0));
	return 0;
}
