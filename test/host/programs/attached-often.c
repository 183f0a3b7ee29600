/*
 * A program whose threads load from registers all the time while others attach to them and let go, at any moment. Each load is
 * as without. Arguments: group number, device, rounds, threads, and what the random numbers begin with.
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
#include <sys/wait.h>
#include <unistd.h>
#include "device.h"

#define MOST 4
#define VALUE 0x5ca1ab1e

struct shared {
	volatile pid_t tids[MOST];
	volatile int ends;
};
static struct shared *shared;
static volatile uint32_t *bar;
static unsigned long wrong;
static uint32_t seed;

static uint32_t below(uint32_t bound)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % bound;
}

static void *loads(void *argument)
{
	long n = (long)argument;

	shared->tids[n] = syscall(SYS_gettid);
	while (!shared->ends) {
		if (*bar != VALUE)
			__sync_fetch_and_add(&wrong, 1);
	}
	return NULL;
}

/* The next stop; 0: there is none any more. */
static int stopped(pid_t tid, int *status)
{
	return waitpid(tid, status, __WALL) == tid && WIFSTOPPED(*status);
}
/* The signal of a stop at which one is about to be delivered, but for that of the attachment. */
static int signal_of(int status, int *is_ours)
{
	int signal = WSTOPSIG(status);

	if (status >> 16 || signal == SIGTRAP)
		return 0;
	if (signal == SIGSTOP && !*is_ours) {
		*is_ours = 1;
		return 0;
	}
	return signal;
}
/* Some stops of the thread, of which each signal is passed on; let go of at the last. */
static int round_of(pid_t tid)
{
	int seizes = below(2), status, signal, seen = seizes;

	if (ptrace(seizes ? PTRACE_SEIZE : PTRACE_ATTACH, tid, 0, 0))
		return -errno;
	if (below(2))
		usleep(below(300));
	if (seizes)
		ptrace(PTRACE_INTERRUPT, tid, 0, 0);
	for (int stops = below(4);; stops--) {
		if (!stopped(tid, &status))
			return -ECHILD;
		signal = signal_of(status, &seen);
		if (stops <= 0 && seen)
			break;
		ptrace(below(2) ? PTRACE_CONT : PTRACE_SYSCALL, tid, 0, signal);
		if (below(2))
			usleep(below(200));
		if (seizes)
			ptrace(PTRACE_INTERRUPT, tid, 0, 0);
		else if (seen) { /* none is on its way */
			syscall(SYS_tgkill, shared->tids[0], tid, SIGSTOP);
			seen = 0;
		}
	}
	return ptrace(PTRACE_DETACH, tid, 0, signal) ? -errno : 0;
}
static int tracer(int rounds, int threads)
{
	for (int n = 0; n < rounds; n++) {
		int rc = round_of(shared->tids[below(threads)]);

		if (rc) {
			printf("round %d: %s\n", n, strerror(-rc));
			return 1;
		}
		if (below(2))
			usleep(below(500));
	}
	return 0;
}

int main(int argc, char **argv)
{
	int rounds = atoi(argv[3]), threads = atoi(argv[4]), status, go[2];
	pthread_t all[MOST];
	pid_t pid, ended;
	char byte;

	setvbuf(stdout, NULL, _IONBF, 0);
	seed = atoi(argv[5]) | 1;
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pipe(go);
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		read(go[0], &byte, 1);
		_exit(tracer(rounds, threads));
	}
	bar = map_bar0(open_by_group(argv[1], argv[2], 0).device);
	*bar = VALUE;
	for (long n = 1; n < threads; n++)
		pthread_create(&all[n], NULL, loads, (void *)n);
	shared->tids[0] = getpid();
	for (int n = 1; n < threads; n++)
		while (!shared->tids[n])
			usleep(100);
	write(go[1], "x", 1);
	while ((ended = waitpid(pid, &status, WNOHANG)) == 0) {
		if (*bar != VALUE)
			wrong++;
	}
	if (ended < 0)
		printf("waitpid: %s\n", strerror(errno));
	shared->ends = 1;
	for (int n = 1; n < threads; n++)
		pthread_join(all[n], NULL);
	printf("the tracer: %d, wrong: %lu\n", status, wrong);
	return 0;
}
