/*
 * A program with mapped registers that others trace for a while: its child attaches, in two ways, looks at each thread and lets
 * go; a child ends without letting go; a child of it has itself traced. Registers answer before and afterwards.
 * Arguments: group number and device.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include "device.h"

static volatile uint32_t *bar;
static volatile int ends;
static pid_t main_thread, other_thread;
static int go[2], came[2];

static void *other(void *argument)
{
	other_thread = syscall(SYS_gettid);
	write(came[1], "x", 1);
	while (!ends)
		usleep(1000);
	return (void *)(uintptr_t)*bar;
}

static int tracer_of(pid_t tid)
{
	char path[64], line[128];
	int pid = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "TracerPid: %d", &pid);
	fclose(file);
	return pid;
}
static const char *attach(pid_t tid, int seizes)
{
	struct user_regs_struct regs;
	int status;

	if (ptrace(seizes ? PTRACE_SEIZE : PTRACE_ATTACH, tid, 0, 0))
		return strerror(errno);
	if (tracer_of(tid) != getpid())
		return "another tracer";
	if (seizes)
		ptrace(PTRACE_INTERRUPT, tid, 0, 0);
	if (waitpid(tid, &status, __WALL) != tid || !WIFSTOPPED(status))
		return "no stop";
	if (ptrace(PTRACE_GETREGS, tid, 0, &regs))
		return strerror(errno);
	return "stopped";
}
static void look(pid_t tid, int seizes)
{
	const char *stopped = attach(tid, seizes);
	long detached = ptrace(PTRACE_DETACH, tid, 0, 0);

	printf("%s: %s, %s\n", seizes ? "seize" : "attach", stopped, detached ? strerror(errno) : "let go");
}

/* It is no child of the program with registers, which is traced with its children. */
static void tracer(void)
{
	char byte;

	for (int n = 0; read(go[0], &byte, 1) == 1; n++) {
		if (byte == 'e') {
			printf("without letting go: %s\n", attach(main_thread, 1));
			_exit(0);
		}
		look(main_thread, n & 1);
		look(other_thread, n & 1);
		if (n == 0)
			printf("nobody: %s\n", attach(0x3ffff0, 1));
		write(came[1], "x", 1);
	}
}
static void traced_child(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		printf("child: %s\n", ptrace(PTRACE_TRACEME, 0, 0, 0) ? strerror(errno) : "traced");
		raise(SIGUSR1);
		_exit(7);
	}
	waitpid(pid, &status, 0);
	printf("child: %s\n", WIFSTOPPED(status) && WSTOPSIG(status) == SIGUSR1 ? "stopped" : "not stopped");
	ptrace(PTRACE_CONT, pid, 0, 0);
	waitpid(pid, &status, 0);
	printf("child: exit %d\n", WEXITSTATUS(status));
}

int main(int argc, char **argv)
{
	int status;
	char byte;
	pthread_t thread;
	void *value;
	pid_t pid;
	int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	setvbuf(stdout, NULL, _IONBF, 0);
	pipe(go);
	pipe(came);
	main_thread = getpid();
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	pthread_create(&thread, NULL, other, NULL);
	read(came[0], &byte, 1);
	pid = fork();
	if (pid == 0)
		tracer();

	bar = map_bar0(open_by_group(argv[1], argv[2], 0).device);

	*bar = 1;
	for (int n = 0; n < 4; n++) {
		write(go[1], "x", 1);
		read(came[0], &byte, 1);
		*bar += 1;
	}
	write(go[1], "e", 1);
	waitpid(pid, &status, 0);
	while (tracer_of(main_thread) == 0 || tracer_of(other_thread) == 0)
		usleep(1000);
	*bar += 1;
	traced_child();
	ends = 1;
	pthread_join(thread, &value);
	printf("the register: %u, %lu\n", *bar, (uintptr_t)value);
	return 0;
}
