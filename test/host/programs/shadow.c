/*
 * Pages of registers that a program loads as memory: what it sees of them is what it sees of registers, but that no load traps.
 * Arguments: the group and the name of a device whose register of 4 bytes at the third argument keeps what is stored there. What
 * is printed is the same however the BAR is mapped; with a fourth argument also how many of many loads and stores have stopped
 * the thread.
 */
#include "device.h"
#include "touch.h"
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MANY = 500, ROUNDS = 200 };
static void *store_elsewhere(void *at)
{
	*(volatile uint32_t *)at = 0x77;
	return NULL;
}

static void coherent(int device, volatile uint8_t *bar, uint64_t offset)
{
	volatile uint32_t *at = (volatile uint32_t *)(bar + offset);
	volatile uint8_t *again = map_bar0(device);
	uint32_t value = 0x55, seed = 1, differences = 0;
	int status, ends[2];
	pthread_t thread;

	*at = 0x234;
	printf("stored: %x, in another mapping: %x,", *at, *(volatile uint32_t *)(again + offset));
	printf(" by read: %x\n", from_file(device, offset));
	pwrite(device, &value, 4, offset);
	printf("write of the region: %x\n", *at);
	__asm__ volatile("lock orl $0x100, %0" : "+m"(*at));
	*((volatile uint8_t *)at + 1) |= 2;
	printf("in one instruction, a byte: %x\n", *at);
	fflush(stdout);
	if (fork() == 0) {
		*at = 0x66;
		_exit(*at != 0x66);
	}
	wait(&status);
	printf("of a child: %d, %x\n", status, *at);
	pthread_create(&thread, NULL, store_elsewhere, (void *)at);
	pthread_join(thread, NULL);
	printf("of a thread: %x\n", *at);
	pipe(ends);
	write(ends[1], "\1\2\0\0", 4);
	printf("as a buffer: %zd,", read(ends[0], (void *)at, 4));
	printf(" %x,", *at);
	printf(" back: %zd,", write(ends[1], (void *)at, 4));
	read(ends[0], &value, 4);
	printf(" %x\n", value);
	for (int n = 0; n < ROUNDS; n++) {
		seed = seed * 1664525 + 1013904223;
		*at = seed >> 8;
		differences += *at != from_file(device, offset);
	}
	for (uint64_t n = 0; n < 0x40; n += 4)
		differences += *(volatile uint32_t *)(bar + n) != from_file(device, n);
	printf("differences from read: %u\n", differences);
	munmap((void *)again, bar0_of(device).size);
}
/* What SIGSEGV means to the program is its own affair. */
static void signals(int device, volatile uint32_t *at)
{
	struct sigaction is, ignored = { .sa_handler = SIG_IGN }, none = { .sa_handler = SIG_DFL };
	sigset_t fault, now;
	int status;

	sigaction(SIGSEGV, NULL, &is);
	printf("handler: %s,", is.sa_sigaction == on_fault ? "ours" : "another");
	printf(" of nothing: %s\n", touch(NULL, 1));
	sigemptyset(&fault);
	sigaddset(&fault, SIGSEGV);
	sigprocmask(SIG_BLOCK, &fault, NULL);
	*at = 0x31;
	*at = *at + 1;
	sigprocmask(SIG_SETMASK, NULL, &now);
	sigaction(SIGSEGV, NULL, &is);
	printf("blocked: %x, %d, %s\n", *at, sigismember(&now, SIGSEGV), is.sa_sigaction == on_fault ? "ours" : "another");
	sigprocmask(SIG_UNBLOCK, &fault, NULL);
	sigaction(SIGSEGV, &ignored, NULL);
	*at = 0x41;
	raise(SIGSEGV);
	sigaction(SIGSEGV, &none, &is);
	*at = *at + 1;
	printf("ignored: %x, %d\n", *at, is.sa_handler == SIG_IGN);
	fflush(stdout);
	if (fork() == 0) {
		*at = 0x51;
		*(volatile int *)8 = 1;
		_exit(0);
	}
	wait(&status);
	printf("without a handler: %x, %s\n", *at, WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "went on");
	fflush(stdout);
	if (fork() == 0) {
		raise(SIGSEGV);
		_exit(0);
	}
	wait(&status);
	printf("sent: %s\n", WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "went on");
	fflush(stdout);
	if (fork() == 0) {
		put16(device, 4, 0);
		signal(SIGBUS, SIG_DFL);
		*at = 1;
		_exit(0);
	}
	wait(&status);
	put16(device, 4, 2);
	printf("nothing answers: %s\n", WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "went on");
}
/* Another process traces it for a while, and passes on what comes. */
static void pass_on(pid_t of, int ready, int done)
{
	int status, seen = 0;
	char byte;

	ptrace(PTRACE_SEIZE, of, 0, 0);
	write(ready, "r", 1);
	fcntl(done, F_SETFL, O_NONBLOCK);
	while (read(done, &byte, 1) != 1) {
		if (waitpid(of, &status, WNOHANG | __WALL) != of) {
			usleep(1000);
			continue;
		}
		int signal = WSTOPSIG(status), is_fault = signal == SIGSEGV || signal == SIGBUS;
		seen += is_fault;
		ptrace(PTRACE_CONT, of, 0, is_fault ? signal : 0);
	}
	ptrace(PTRACE_INTERRUPT, of, 0, 0);
	waitpid(of, &status, __WALL);
	ptrace(PTRACE_DETACH, of, 0, 0);
	_exit(seen > 0);
}
static void traced(volatile uint32_t *at)
{
	int ready[2], done[2], status;
	char byte;

	pipe(ready);
	pipe(done);
	fflush(stdout);
	pid_t tracer = fork();
	if (tracer == 0)
		pass_on(getppid(), ready[1], done[0]);
	prctl(PR_SET_PTRACER, tracer);
	read(ready[0], &byte, 1);
	*at = 0x61;
	*at = *at + 1;
	printf("traced: %x,", *at);
	write(done[1], "d", 1);
	while (waitpid(tracer, &status, 0) < 0)
		;
	printf(" which was told of it: %d,", WEXITSTATUS(status));
	*at = *at + 1;
	printf(" afterwards: %x\n", *at);
}
static void unanswered(int device, volatile uint32_t *at)
{
	put16(device, 4, 0);
	printf("decode off: load %s,", touch(at, 0));
	printf(" store %s,", touch(at, 1));
	printf(" as a buffer: %s\n", write(1, (void *)at, 4) < 0 ? strerror(errno) : "written");
	put16(device, 4, 2);
	printf("decode on: load %s,", touch(at, 0));
	printf(" store %s,", touch(at, 1));
	printf(" %x\n", *at);
}
static void many(volatile uint32_t *at)
{
	uint32_t sum = 0;
	long before = stops();

	for (uint32_t n = 0; n < MANY; n++)
		sum += *at;
	long loads = stops() - before;
	for (uint32_t n = 0; n < MANY; n++)
		*at = n;
	long stores = stops() - before - loads;
	printf("%u, loads stop: %s, stores: %s\n", sum, loads >= MANY ? "each" : loads < MANY / 10 ? "none" : "some", stores >= MANY ? "each" : "not each");
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	struct by_group of = open_by_group(argv[1], argv[2], 0);
	uint64_t offset = strtoul(argv[3], NULL, 0);
	struct vfio_region_info region = bar0_of(of.device);
	volatile uint8_t *bar = map_bar0(of.device);
	volatile uint32_t *at = (volatile uint32_t *)(bar + offset);
	volatile uint32_t *only = mmap(NULL, region.size, PROT_READ, MAP_SHARED, of.device, region.offset);

	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	printf("mapped for loads only: %s, %s\n", touch(only, 0), touch(only, 1));
	coherent(of.device, bar, offset);
	unanswered(of.device, at);
	printf("reset: %d,", ioctl(of.device, VFIO_DEVICE_RESET));
	printf(" %x,", *at);
	*at = 5;
	printf(" %x\n", *at);
	if (argc > 4)
		many(at);
	signals(of.device, at);
	traced(at);
	close(of.device);
	*at = 6;
	printf("closed: %x\n", *at);
	munmap((void *)bar, region.size);
	munmap((void *)only, region.size);
	of.device = ioctl(of.group, VFIO_GROUP_GET_DEVICE_FD, argv[2]);
	printf("opened after its end: %x\n", from_file(of.device, offset));
	return 0;
}
