/* Who is calling: threads with tables of their own, a leader that has ended, memory shared across vfork and clone, exec. */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "device.h"

#define PAGE 4096
/* The same address before and after exec. */
#define PLACE ((char *)0x500000000)
#define IOVA 0x100000
/* Registers of the edu device. */
enum { RAISE = 0x60, SOURCE = 0x80, DESTINATION = 0x88, COUNT = 0x90, COMMAND = 0x98, BUFFER = 0x40000 };

static const char *name(long rc)
{
	static char text[16];
	if (rc >= 0) {
		snprintf(text, sizeof(text), "%ld", rc);
		return text;
	}
	return strerrorname_np(errno);
}
#define SAY(what, format, ...) do { printf(what ": " format "\n", __VA_ARGS__); fflush(stdout); } while (0)
#define SHOW(what, call) SAY(what, "%s", name(call))

static int container, device;
static uint64_t bar, config;
/* Where the device's bytes come back. */
static uint64_t landing = 0x4000000;

static uint64_t region(int index)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = index };
	return ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info) ? 0 : info.offset;
}
static void find_registers(void)
{
	uint16_t command = 6;

	bar = region(VFIO_PCI_BAR0_REGION_INDEX);
	config = region(VFIO_PCI_CONFIG_REGION_INDEX);
	pwrite(device, &command, 2, config + 4);
}
static void open_device(void)
{
	struct by_group of = open_by_group("0", "0000:00:04.0", 0);

	container = of.container;
	device = dup(of.device); /* to be kept by exec */
	find_registers();
}
static uint32_t load(int at)
{
	uint32_t value = -1;
	pread(device, &value, 4, bar + at);
	return value;
}
static void store(int at, uint64_t value, int width) { pwrite(device, &value, width, bar + at); }

static long map_at(void *va, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_map arg = { sizeof(arg), 3, (uintptr_t)va, iova, size };
	return ioctl(container, VFIO_IOMMU_MAP_DMA, &arg);
}
static void transfer(uint64_t from, uint64_t to, int length, int command)
{
	store(SOURCE, from, 8);
	store(DESTINATION, to, 8);
	store(COUNT, length, 8);
	store(COMMAND, command | 1, 4);
	for (int n = 0; (load(COMMAND) & 1) && n < 2000; n++)
		usleep(1000);
}
/* What the device sees at an address of the bus: through its own buffer to a page of ours. */
static const char *device_sees(uint64_t iova)
{
	static char *page;

	if (!page) {
		page = mmap(NULL, PAGE, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		map_at(page, landing, PAGE);
	}
	transfer(iova, BUFFER, 64, 0);
	memset(page, 0, 64);
	transfer(BUFFER, landing, 64, 2);
	return page;
}
static char *page_at(char *place, const char *text)
{
	char *page = mmap(place, PAGE, 3, MAP_PRIVATE | MAP_ANONYMOUS | (place ? MAP_FIXED : 0), -1, 0);
	return strcpy(page, text);
}
static long interrupt_to(int fd)
{
	struct { struct vfio_irq_set set; int fd; } arg = { { sizeof(arg), VFIO_IRQ_SET_DATA_EVENTFD |
		VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_PCI_MSI_IRQ_INDEX, 0, 1 }, fd };
	return ioctl(device, VFIO_DEVICE_SET_IRQS, &arg);
}
/* How many interrupts have come, in a tenth of a second at the most. */
static uint64_t interrupts(int fd)
{
	uint64_t count = 0;

	store(RAISE, 1, 4);
	for (int n = 0; n < 100 && read(fd, &count, 8) != 8; n++)
		usleep(1000);
	return count;
}

/* A thread with a table of its own: its number means an eventfd, the leader's the same number a file. */
static int number;
static void *with_own_table(void *arg)
{
	unshare(CLONE_FILES);
	dup2(eventfd(0, EFD_NONBLOCK), number);
	SHOW("an eventfd of the thread's own table", interrupt_to(number));
	SAY("its interrupts", "%lu", (unsigned long)interrupts(number));
	dup2(open("/dev/null", O_RDWR), number);
	SHOW("what is no eventfd there", interrupt_to(number));
	return NULL;
}
static void tables(void)
{
	char text[] = "/tmp/identity-XXXXXX", found[16] = "";
	pthread_t thread;
	int file = mkstemp(text);

	unlink(text);
	open_device();
	number = dup2(file, 200);
	write(number, "precious", 8);
	lseek(number, 0, SEEK_SET);
	pthread_create(&thread, NULL, with_own_table, NULL);
	pthread_join(thread, NULL);
	pread(number, found, 8, 0);
	SAY("the leader's file", "%s", found);
	dup2(eventfd(0, EFD_NONBLOCK), number);
	SHOW("an eventfd of the leader's table", interrupt_to(number));
	SAY("its interrupts", "%lu", (unsigned long)interrupts(number));
}

/* The leader has ended; everything is done by another thread. */
static pthread_t leader;
static void *without_leader(void *arg)
{
	volatile uint32_t *registers;
	int fd = eventfd(0, EFD_NONBLOCK);
	char *page = page_at(NULL, "hello");

	pthread_join(leader, NULL);
	usleep(20000);
	open_device();
	SHOW("map", map_at(page, IOVA, PAGE));
	SAY("the device sees", "%s", device_sees(IOVA));
	SHOW("an eventfd", interrupt_to(fd));
	SAY("its interrupts", "%lu", (unsigned long)interrupts(fd));
	registers = mmap(NULL, PAGE, 3, MAP_SHARED, device, bar);
	SAY("a register", "0x%x", registers[0]);
	munmap(page, PAGE);
	SAY("after munmap", "%s", device_sees(IOVA));
	exit(0);
}
static void leaderless(void)
{
	pthread_t thread;

	leader = pthread_self();
	pthread_create(&thread, NULL, without_leader, NULL);
	pthread_exit(NULL);
}

/* A child that shares our memory maps a page of it, then becomes another program, which maps its own at that address. */
static char *program;
static int become(void)
{
	char numbers[2][16];

	snprintf(numbers[0], 16, "%d", container);
	snprintf(numbers[1], 16, "%d", device);
	execl("/proc/self/exe", program, "become", numbers[0], numbers[1], NULL);
	_exit(5);
}
static void become_here(char *const *arguments)
{
	container = atoi(arguments[0]);
	device = atoi(arguments[1]);
	landing = 0x5000000;
	find_registers();
	page_at(PLACE, "new");
	SHOW("the new program maps its page", map_at(PLACE, 0x300000, PAGE));
	SAY("of it the device sees", "%s", device_sees(0x300000));
	munmap(PLACE, PAGE);
	SAY("after its munmap", "%s", device_sees(0x300000));
}
static int borrower(void *arg)
{
	if (map_at(PLACE, 0x200000, PAGE))
		_exit(6);
	return become();
}
static void kept(const char *where)
{
	int status;

	wait(&status);
	SAY("the child", "%d", WEXITSTATUS(status));
	SAY("our page", "%s", PLACE);
	SAY("as we mapped it, the device sees", "%s", device_sees(IOVA));
	SAY("as the child mapped it", "%s", device_sees(0x200000));
	strcpy(PLACE, "later");
	SAY("our page, and it is followed", "%s", device_sees(IOVA));
	munmap(PLACE, PAGE);
	SAY("when we unmap it", "%s", device_sees(0x200000));
}
static void shared(int flags)
{
	open_device();
	page_at(PLACE, "ours");
	map_at(PLACE, IOVA, PAGE);
	clone(borrower, (char *)malloc(1 << 16) + (1 << 16), CLONE_VM | SIGCHLD | flags, NULL);
	kept(PLACE);
}

/* A child that shares our memory takes a pinned page away: it is our page too. */
static int remover(void *arg)
{
	munmap(PLACE, PAGE);
	page_at(PLACE, "another");
	_exit(0);
}
static void removed(void)
{
	open_device();
	page_at(PLACE, "old");
	map_at(PLACE, IOVA, PAGE);
	clone(remover, (char *)malloc(1 << 16) + (1 << 16), CLONE_VM | SIGCHLD, NULL);
	wait(NULL);
	SAY("the device keeps", "%s", device_sees(IOVA));
	SAY("the program has", "%s", PLACE);
}

/* Another thread than the leader becomes the new program, while the others call. */
static void *caller(void *arg)
{
	for (;;)
		ioctl(container, VFIO_GET_API_VERSION);
}
static void *executor(void *arg)
{
	usleep(10000);
	become();
	return NULL;
}
static void threads(void)
{
	pthread_t thread;

	open_device();
	page_at(PLACE, "ours");
	map_at(PLACE, IOVA, PAGE);
	execl("/nowhere", "nowhere", NULL);
	strcpy(PLACE, "still");
	SAY("after an exec that fails", "%s", device_sees(IOVA));
	for (int n = 0; n < 3; n++)
		pthread_create(&thread, NULL, caller, NULL);
	pthread_create(&thread, NULL, executor, NULL);
	pthread_join(thread, NULL);
}

/* A process that nobody but root may look into. */
static void undumpable(void)
{
	struct stat of_passwd;
	char byte;
	int fd = open("/dev/vfio/vfio", O_RDWR);

	prctl(PR_SET_DUMPABLE, 0);
	SHOW("a path", stat("/etc/passwd", &of_passwd));
	SHOW("one that is not there", stat("/nowhere", &of_passwd));
	SHOW("a path at no address", stat((void *)1, &of_passwd));
	SHOW("a pipe", ioctl(STDOUT_FILENO, 0x541b, &byte));
	SHOW("our descriptor", ioctl(fd, VFIO_GET_API_VERSION));
	SHOW("again", ioctl(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU));
}

int main(int count, char **arguments)
{
	const char *what = arguments[1];

	program = arguments[0];
	if (!strcmp(what, "tables"))
		tables();
	else if (!strcmp(what, "leaderless"))
		leaderless();
	else if (!strcmp(what, "clone"))
		shared(0);
	else if (!strcmp(what, "vfork"))
		shared(CLONE_VFORK);
	else if (!strcmp(what, "removed"))
		removed();
	else if (!strcmp(what, "threads"))
		threads();
	else if (!strcmp(what, "become"))
		become_here(arguments + 2);
	else if (!strcmp(what, "undumpable"))
		undumpable();
	return 0;
}
