/*
 * A program that others attach to while its threads wait: in a read whose buffer is registers, on the way out of the simulated
 * tree, and for the user of a device. The attachment interrupts what can be, which goes on afterwards as if nothing had been.
 * Arguments: group number and device.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "device.h"

static volatile uint8_t *bar;
static int go[2], came[2], ends[2], stay[2];
static volatile int urgent, ours;
static char fifo[64], out[128], device[128], *name;

static void on_urgent(int signal)
{
	urgent++;
}
static void *reader(void *tid)
{
	*(volatile pid_t *)tid = syscall(SYS_gettid);
	return (void *)read(ends[0], (void *)(bar + 64), 8);
}
static void *unbinder(void *tid)
{
	int fd = open("/sys/bus/pci/drivers/vfio-pci/unbind", O_WRONLY);
	long result;
	char byte;

	*(volatile pid_t *)tid = syscall(SYS_gettid);
	result = write(fd, name, strlen(name));
	read(stay[0], &byte, 1); /* who attaches waits for the unbind, and is to find somebody then */
	return (void *)result;
}

static void look(const char *what, pid_t tid, int seizes)
{
	const char *stopped = "no stop";
	int status;
	long rc = ptrace(seizes ? PTRACE_SEIZE : PTRACE_ATTACH, tid, 0, 0);

	if (rc) {
		printf("%s, %s: %s\n", what, seizes ? "seize" : "attach", strerror(errno));
		return;
	}
	if (seizes)
		ptrace(PTRACE_INTERRUPT, tid, 0, 0);
	if (waitpid(tid, &status, __WALL) == tid && WIFSTOPPED(status))
		stopped = "stopped";
	rc = ptrace(PTRACE_DETACH, tid, 0, 0);
	printf("%s, %s: %s, %s\n", what, seizes ? "seize" : "attach", stopped, rc ? strerror(errno) : "let go");
}
/* No child of the program with registers. */
static void tracer(void)
{
	struct { const char *what; pid_t tid; int seizes; } order;

	while (read(go[0], &order, sizeof(order)) == sizeof(order)) {
		look(order.what, order.tid, order.seizes);
		write(came[1], "x", 1);
	}
}
static void looked_at(const char *what, pid_t tid, int seizes)
{
	struct { const char *what; pid_t tid; int seizes; } order = { what, tid, seizes };
	char byte;

	write(go[1], &order, sizeof(order));
	read(came[0], &byte, 1);
}
static void await_thread(volatile pid_t *tid)
{
	while (!*tid)
		usleep(1000);
	usleep(100000); /* it is in its call by then, and if not: the results are the same */
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_urgent };
	struct vfio_region_info region;
	pid_t tids[2] = { 0, 0 }, pid, waiting;
	pthread_t threads[2];
	struct by_group of;
	void *result;
	int status;

	setvbuf(stdout, NULL, _IONBF, 0);
	name = argv[2];
	pipe(go);
	pipe(came);
	pipe(ends);
	pipe(stay);
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		tracer();
		_exit(0);
	}
	sigaction(SIGURG, &action, NULL);
	sigaction(SIGWINCH, &action, NULL);

	/* A program without registers, which waits for a reader of a FIFO. */
	snprintf(fifo, sizeof(fifo), "/tmp/fifo-%d", getpid());
	snprintf(out, sizeof(out), "../../../..%s", fifo);
	snprintf(device, sizeof(device), "/sys/bus/pci/devices/%s", name);
	mkfifo(fifo, 0600);
	waiting = fork();
	if (waiting == 0) {
		prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
		chdir(device);
		status = open(out, O_WRONLY);
		printf("the FIFO: %s, signals %d\n", status < 0 ? strerror(errno) : "open", urgent);
		_exit(0);
	}
	usleep(300000);
	for (int n = 0; n < 4; n++)
		looked_at("on the way out", waiting, n & 1);
	status = open(fifo, O_RDONLY);
	waitpid(waiting, NULL, 0);
	unlink(fifo);

	of = open_by_group(argv[1], argv[2], O_CLOEXEC);
	region = bar0_of(of.device);
	bar = map_bar0(of.device);
	pthread_create(&threads[0], NULL, reader, tids);
	await_thread(tids);
	for (int n = 0; n < 4; n++)
		looked_at("in a read", tids[0], n & 1);
	write(ends[1], "arrived", 8);
	pthread_join(threads[0], &result);
	printf("read: %ld %s, signals %d\n", (long)result, (char *)memcpy(out, (void *)(bar + 64), 8), urgent);

	pthread_create(&threads[1], NULL, unbinder, tids + 1);
	await_thread(tids + 1);
	if (fork() == 0) {
		usleep(200000);
		_exit(0);
	}
	munmap((void *)bar, region.size);
	close(of.device);
	close(of.group);
	close(of.container);
	looked_at("in an unbind", tids[1], 0);
	write(stay[1], "", 1);
	pthread_join(threads[1], &result);
	printf("unbind: %ld, signals %d\n", (long)result, urgent);
	close(go[1]);
	waitpid(pid, &status, 0);
	printf("the tracer: %d\n", status);
	return 0;
}
