/*
 * What a program does that another one traces from its start: registers, directories of the tree and ways out of them,
 * buffers that are registers, threads, children, signals of its own, another program by a path through the tree.
 * Arguments: group number and device.
 */
#include <dirent.h>
#include <errno.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "device.h"

static volatile uint32_t *bar;
static volatile int urgent;
static sigjmp_buf back;
static siginfo_t info;

static void on_urgent(int signal)
{
	urgent++;
}
static void on_fault(int signal, siginfo_t *what, void *context)
{
	info = *what;
	siglongjmp(back, signal);
}
static void *other(void *argument)
{
	for (int n = 0; n < 50; n++)
		__sync_fetch_and_add(bar + 8, 1);
	return NULL;
}
static void touch(const char *what, volatile uint32_t *at)
{
	int signal = sigsetjmp(back, 1);
	if (signal)
		printf("%s: signal %d, code %d, at +%ld\n", what, signal, info.si_code,
		       (long)((char *)info.si_addr - (char *)bar));
	else
		printf("%s: %u\n", what, *at);
}

int main(int argc, char **argv)
{
	struct vfio_region_info region;
	struct sigaction fault = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	char path[128], text[256], *arguments[] = { "echo", "by a path through the tree", NULL };
	int device, error, status, ends[2];
	uint16_t command;
	pthread_t thread;
	sigset_t all, before;
	pid_t pid;

	setvbuf(stdout, NULL, _IONBF, 0);
	signal(SIGURG, on_urgent);
	device = open_by_group(argv[1], argv[2], 0).device;
	region = bar0_of(device);
	bar = map_bar0(device);

	*bar = 41;
	*bar += 1;
	printf("the register: %u\n", *bar);
	memcpy((void *)(bar + 16), "sixty-four bytes of registers, which are moved by wide registers", 64);
	memcpy(text, (void *)(bar + 16), 64);
	printf("vectors: %.64s\n", text);
	pthread_create(&thread, NULL, other, NULL);
	other(NULL);
	pthread_join(thread, NULL);
	printf("of two threads: %u\n", bar[8]);
	if (fork() == 0) {
		printf("in a child: %u\n", ++*bar);
		_exit(0);
	}
	wait(&status);
	pipe(ends);
	printf("a buffer: %zd\n", write(ends[1], (void *)(bar + 16), 10));
	printf("arrived: %zd %.10s\n", read(ends[0], text, 10), text);

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", argv[2]);
	printf("chdir: %d\n", chdir(path));
	printf("cwd: %s\n", getcwd(text, sizeof(text)));
	printf("a file in it: %d\n", access("vendor", R_OK));
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	printf("chdir out, all signals blocked: %d\n", chdir("../../../../tmp"));
	sigprocmask(SIG_SETMASK, &before, NULL);
	printf("cwd: %s\n", getcwd(text, sizeof(text)));
	status = chdir("/sys/bus/pci/devices/nothing");
	printf("chdir to nothing: %d %s\n", status, strerror(errno));
	chdir(path);
	error = posix_spawn(&pid, "../../../../bin/echo", NULL, NULL, arguments, NULL);
	waitpid(pid, &status, 0);
	printf("spawned: %s\n", strerror(error));
	printf("it ended: %d\n", status);
	raise(SIGURG);
	printf("SIGURG of its own: %d\n", urgent);

	sigaction(SIGBUS, &fault, NULL);
	sigaction(SIGSEGV, &fault, NULL);
	pread(device, &command, 2, (7ULL << 40) + 4);
	command &= ~2;
	pwrite(device, &command, 2, (7ULL << 40) + 4);
	touch("decode off", bar + 1);
	command |= 2;
	pwrite(device, &command, 2, (7ULL << 40) + 4);
	touch("decode on", bar);
	touch("beyond the end", (volatile uint32_t *)((char *)bar + region.size - 2));
	return 5;
}
