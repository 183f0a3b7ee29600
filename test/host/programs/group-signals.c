/*
 * Signals of every number that can be handled, to the process group of the program: by the program, by a child, by kill(-GROUP).
 * softiommu is in the group. Then signals come from elsewhere, sent to softiommu, and after SIGUSR2 the program says what it has had.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t taken[65], of_others, elsewhere, done;
static pid_t ours[2];

static int is_sent(int number)
{
	/* What stops, what ends, and what belongs to somebody: of children, of the C library. */
	static const int others[] = { SIGKILL, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGCHLD, SIGUSR2, 32, 33 };

	for (int n = 0; n < sizeof(others) / sizeof(*others); n++)
		if (number == others[n])
			return 0;
	return 1;
}
static void on_signal(int number, siginfo_t *info, void *context)
{
	if (number == SIGUSR2) {
		done = 1;
		return;
	}
	if (elsewhere) {
		printf("from elsewhere: signal %d\n", number);
		fflush(stdout);
		return;
	}
	taken[number]++;
	of_others += info->si_code != SI_USER || (info->si_pid != ours[0] && info->si_pid != ours[1]);
}
static void send(pid_t group)
{
	for (int number = 1; number < 65; number++)
		if (is_sent(number))
			kill(group, number);
}

int main(void)
{
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART };
	sigset_t all, usual;
	int other = 0;
	pid_t child;

	for (int number = 1; number < 65; number++)
		if (is_sent(number) || number == SIGUSR2)
			sigaction(number, &action, NULL);
	ours[0] = getpid();
	send(0);
	send(-getpgid(0));
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &usual);
	child = fork();
	if (child == 0) {
		/* It is the sender, and takes nothing. */
		send(0);
		_exit(0);
	}
	ours[1] = child;
	sigprocmask(SIG_SETMASK, &usual, NULL);
	waitpid(child, NULL, 0);
	sigprocmask(SIG_BLOCK, &all, NULL);
	elsewhere = 1;
	puts("sent");
	fflush(stdout);
	sigdelset(&usual, SIGUSR2);
	while (!done)
		sigsuspend(&usual);
	for (int number = 1; number < 65; number++)
		if (is_sent(number) && taken[number] != 3 && other++ == 0)
			printf("signal %d: %d times\n", number, (int)taken[number]);
	printf("%d of another count, %d of another sender\n", other, (int)of_others);
	return 0;
}
