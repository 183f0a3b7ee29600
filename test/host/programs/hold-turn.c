/*
 * Holds the kernel thread of softiommu (its process is argv[1]) in the middle of a turn: it has received a call of a program
 * and does not come to answer it, as when a look of its at the host never returned.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#define SYS_POLL 7
#define SYS_IOCTL 16
#define SYS_PROCESS_VM_READV 310
#define RECEIVE 0xc0502100 /* SECCOMP_IOCTL_NOTIF_RECV */

/* The one that waits in poll(2). */
static int kernel_thread(const char *pid)
{
	char path[300];
	struct dirent *entry;
	snprintf(path, sizeof path, "/proc/%s/task", pid);
	DIR *tasks = opendir(path);
	while (tasks && (entry = readdir(tasks))) {
		int number = -1;
		snprintf(path, sizeof path, "/proc/%s/task/%s/syscall", pid, entry->d_name);
		FILE *file = fopen(path, "r");
		if (!file)
			continue;
		if (fscanf(file, "%d", &number) != 1)
			number = -1;
		fclose(file);
		if (number == SYS_POLL)
			return atoi(entry->d_name);
	}
	return 0;
}

int main(int argc, char **argv)
{
	int tid = 0, status, inside = 0, received = 0, signal;
	while (!tid)
		tid = kernel_thread(argv[1]);
	if (ptrace(PTRACE_SEIZE, tid, 0, PTRACE_O_TRACESYSGOOD) || ptrace(PTRACE_INTERRUPT, tid, 0, 0)) {
		perror("ptrace");
		return 1;
	}
	while (waitpid(tid, &status, __WALL) == tid && WIFSTOPPED(status)) {
		struct user_regs_struct regs;
		signal = 0;
		if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
			ptrace(PTRACE_GETREGS, tid, 0, &regs);
			inside = !inside;
			/* Before that it may still be in its wait, or, without anything to look at, in the next one. */
			if (received && regs.orig_rax == SYS_PROCESS_VM_READV)
				break;
			received |= !inside && regs.orig_rax == SYS_IOCTL && regs.rsi == RECEIVE && regs.rax == 0;
		} else if (status >> 16 == 0)
			signal = WSTOPSIG(status);
		ptrace(PTRACE_SYSCALL, tid, 0, signal);
	}
	puts("held");
	fflush(stdout);
	/* Its end is told to us, and its process does not end before we have heard of it. */
	waitpid(tid, &status, __WALL);
	return 0;
}
