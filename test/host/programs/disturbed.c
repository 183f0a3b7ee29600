/*
 * A process that is disturbed while calls of it are answered and registers of it are served: it is stopped and let go on again,
 * or a thread of it writes over the buffer of another one's call. Argument: what is done; then, of a process that is stopped,
 * a group number and a device, for registers too.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "device.h"

#define THREADS 3
#define PATIENCE 20.0

static volatile unsigned long *count;
static volatile uint32_t *bar;

static double now(void)
{
	struct timespec at;
	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec + at.tv_nsec / 1e9;
}
static unsigned long counted(void)
{
	unsigned long sum = 0;
	for (int n = 0; n < THREADS; n++)
		sum += count[8 * n];
	return sum;
}
static void *work(void *number)
{
	struct stat st;
	for (;;) {
		chdir("/sys/bus/pci/devices");
		stat("0000:00:04.0/../../../../../tmp", &st);
		if (bar)
			bar[1] = 1;
		count[8 * (long)number]++;
	}
}
/* The thread goes on: false after a long time in which it does not. */
static int goes_on(void)
{
	unsigned long before = counted();
	double since = now();
	while (counted() == before)
		if (now() - since > PATIENCE)
			return 0;
		else
			usleep(300);
	return 1;
}
static void stop_shortly(pid_t pid)
{
	int stuck = 0;
	for (int n = 0; n < 600 && !stuck; n++) {
		double until = now() + (n * 37 % 400) * 1e-6;
		kill(pid, SIGSTOP);
		while (now() < until)
			;
		kill(pid, SIGCONT);
		stuck = !goes_on();
	}
	printf("stopped and let go on: %s\n", stuck ? "stuck" : "goes on");
}
static void stop_for_long(pid_t pid)
{
	int moved = 0, stuck = 0, told = 0, status;
	for (int n = 0; n < 60 && !stuck; n++) {
		kill(pid, SIGSTOP);
		told += waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status);
		usleep(1000);
		unsigned long before = counted();
		usleep(10000);
		moved += counted() != before;
		kill(pid, SIGCONT);
		told += waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status);
		stuck = !goes_on();
	}
	printf("stopped for a while: told %d, %s\n", told, moved ? "goes on meanwhile" : stuck ? "stuck" : "stands still");
}
static int stops(char **argv)
{
	pid_t pid;
	count = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid = fork();
	if (pid == 0) {
		pthread_t thread;
		if (argv[2])
			bar = map_bar0(open_by_group(argv[2], argv[3], 0).device);
		for (long n = 1; n < THREADS; n++)
			pthread_create(&thread, NULL, work, (void *)n);
		work(0);
	}
	if (!goes_on())
		printf("never begun\n");
	stop_shortly(pid);
	stop_for_long(pid);
	kill(pid, SIGKILL);
	return waitpid(pid, NULL, 0) != pid;
}

static volatile char entries[32768];

static void *scribble(void *unused)
{
	for (;;)
		for (int at = 16; at < 4096; at += 8)
			*(volatile short *)(entries + at) = 0;
}
static int listing(const char *directory)
{
	pthread_t thread;
	int failed = 0;
	pthread_create(&thread, NULL, scribble, NULL);
	for (int n = 0; n < 200; n++) {
		int fd = open(directory, O_RDONLY | O_DIRECTORY);
		long got;
		while ((got = syscall(SYS_getdents64, fd, entries, sizeof(entries))) > 0)
			;
		failed += got < 0;
		close(fd);
	}
	printf("listings of %s that failed: %d\n", directory, failed);
	return 0;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IONBF, 0);
	if (!strcmp(argv[1], "stops"))
		return stops(argv);
	return listing("/dev") || listing("/sys/bus/pci/devices");
}
