/*
 * Pages of a BAR that are memory: what a program sees of them is what it sees of registers, but that nothing traps. Arguments:
 * the group and the name of a generic with 32 KiB of BAR 0, and MSI-X in its pages 2 and 3. What is printed is the same
 * however the BAR is mapped; with a third argument also how many of many loads and stores have stopped the thread.
 */
#include "device.h"
#include "touch.h"
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MANY = 2000, PAGE = 4096, TABLE = 0x2000 };

/* Of the power management capability. */
static uint64_t power(int device)
{
	uint8_t at = 0, id = 0;

	pread(device, &at, 1, CONFIG + 0x34);
	while (pread(device, &id, 1, CONFIG + at) == 1 && id != 1)
		pread(device, &at, 1, CONFIG + at + 1);
	return at + 4;
}

static void coherent(int device, volatile uint8_t *bar)
{
	volatile uint8_t *again = map_bar0(device);
	uint32_t value = 0xbeef;
	int status, ends[2];

	*(volatile uint32_t *)(bar + 0x10) = 0x1234;
	*(volatile uint64_t *)(bar + 0x4ffc) = 0x1122334455667788;
	printf("another mapping: %x, %x\n", *(volatile uint32_t *)(again + 0x10), *(volatile uint32_t *)(again + 0x5000));
	printf("read of the region: %x\n", from_file(device, 0x10));
	pwrite(device, &value, 4, 0x14);
	printf("write of the region: %x\n", *(volatile uint32_t *)(bar + 0x14));
	fflush(stdout);
	if (fork() == 0) {
		*(volatile uint32_t *)(bar + 0x18) = 0xc0de;
		_exit(0);
	}
	wait(&status);
	printf("of a child: %x\n", *(volatile uint32_t *)(again + 0x18));
	*(volatile uint32_t *)(bar + TABLE) = 0xfee00000;
	printf("the table of MSI-X: %x\n", *(volatile uint32_t *)(again + TABLE));
	pipe(ends);
	printf("as a buffer: %zd,", write(ends[1], (void *)(bar + 0x10), 4));
	printf(" %zd,", read(ends[0], (void *)(bar + 0x7000), 4));
	printf(" %x\n", *(volatile uint32_t *)(again + 0x7000));
	munmap((void *)again, 0x8000);
}
static void unanswered(int device, volatile uint8_t *bar)
{
	volatile uint32_t *at = (volatile uint32_t *)(bar + 0x10);
	uint64_t pm = power(device);

	put16(device, 4, 0);
	printf("decode off: load %s,", touch(at, 0));
	printf(" store %s, of the table %s\n", touch(at, 1), touch((void *)(bar + TABLE), 0));
	printf("as a buffer: %s\n", write(1, (void *)at, 4) < 0 ? strerror(errno) : "written");
	put16(device, 4, 2);
	printf("decode on: load %s, %x\n", touch(at, 0), *at);
	put16(device, pm, 3);
	printf("D3hot: load %s\n", touch(at, 0));
	put16(device, pm, 0);
	put16(device, 4, 2);
	printf("D0: load %s, %x\n", touch(at, 0), *at);
}
static void many(volatile uint8_t *bar)
{
	uint32_t sum = 0;
	long before = stops();

	for (uint32_t n = 0; n < MANY; n++) {
		*(volatile uint32_t *)(bar + 4 * n % PAGE) = n;
		sum += *(volatile uint32_t *)(bar + 4 * n % PAGE);
	}
	long stopped = stops() - before;
	printf("%u, stopped: %s\n", sum, stopped >= 2 * MANY ? "by each" : stopped < MANY / 10 ? "by none" : "by some");
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	struct by_group of = open_by_group(argv[1], argv[2], 0);
	volatile uint8_t *bar = map_bar0(of.device);

	sigaction(SIGBUS, &action, NULL);
	coherent(of.device, bar);
	unanswered(of.device, bar);
	printf("reset: %d,", ioctl(of.device, VFIO_DEVICE_RESET));
	printf(" %x,", *(volatile uint32_t *)(bar + 0x10));
	*(volatile uint32_t *)(bar + 0x10) = 5;
	printf(" %x\n", from_file(of.device, 0x10));
	if (argc > 3)
		many(bar);
	/* A mapping keeps the device open, and its end lets go of it. */
	close(of.device);
	*(volatile uint32_t *)(bar + 0x10) = 6;
	of.device = ioctl(of.group, VFIO_GROUP_GET_DEVICE_FD, argv[2]);
	printf("mapped and opened again: %x\n", from_file(of.device, 0x10));
	close(of.device);
	munmap((void *)(bar + PAGE), 0x7000);
	printf("a page of it: %x\n", *(volatile uint32_t *)(bar + 0x10));
	munmap((void *)bar, PAGE);
	of.device = ioctl(of.group, VFIO_GROUP_GET_DEVICE_FD, argv[2]);
	printf("opened after its end: %x\n", from_file(of.device, 0x10));
	return 0;
}
