/*
 * Signals of every number while softiommu makes calls in the program's thread ("chdir"; "filtered": of a program that has a filter
 * of its own, which permits all) or carries out loads of its registers
 * ("loads", with SIGBUS blocked; group number and device follow): none may be lost, changed or doubled.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "device.h"

enum { ROUNDS = 12, SIGNALS = 65, PATIENCE_US = 3000000 };

/* The sender waits for each before it sends the next: what is pending twice is told once. */
static struct shared {
	atomic_int taken[SIGNALS], quiet, sent;
} *shared;
static volatile sig_atomic_t wrong;
static volatile uint32_t *bar;
static uint32_t first;

static int is_sent(int number)
{
	/* SIGCHLD tells of the sender too. 32 and 33 are the C library's. */
	if (number == SIGKILL || number == SIGSTOP || number == SIGCHLD || number == 32 || number == 33)
		return 0;
	return !(bar && number == SIGBUS);
}
static int is_right(const siginfo_t *info, int number, pid_t sender)
{
	return info->si_signo == number && info->si_code == SI_QUEUE && info->si_pid == sender && info->si_value.sival_int == 1000 + number;
}
static pid_t sender;
static void on_signal(int number, siginfo_t *info, void *context)
{
	if (!is_right(info, number, sender) && wrong++ == 0)
		dprintf(1, "signal %d: code %d, by %s, value %d\n", number, info->si_code, info->si_pid == sender ? "its sender" : "another", info->si_value.sival_int);
	shared->taken[number]++;
}
static void send(int number)
{
	while (sigqueue(getppid(), number, (union sigval){ .sival_int = 1000 + number }))
		usleep(50);
}
static _Noreturn void send_all(void)
{
	for (int round = 1; round <= ROUNDS; round++)
		for (int number = 1; number < SIGNALS; number++) {
			if (!is_sent(number))
				continue;
			send(number);
			for (long waited = 0; shared->taken[number] < round && waited < PATIENCE_US; waited += 20)
				usleep(20);
		}
	/* The same while they are blocked. SIGTSTP and its kin take SIGCONT away. */
	shared->quiet = 1;
	while (shared->quiet == 1)
		usleep(50);
	for (int number = 1; number < SIGNALS; number++)
		if (is_sent(number) && number != SIGCONT) {
			send(number);
			usleep(200);
		}
	shared->sent = 1;
	pause();
	_exit(0);
}
static int work(void)
{
	static int n;

	if (bar)
		return *bar != first;
	return chdir(n++ % 2 ? "/dev/vfio" : "/sys/bus/pci/devices") != 0;
}
static void block(int how, int number)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(how, &set, NULL);
}

static void filter_own(void)
{
	struct sock_filter all = BPF_STMT(BPF_RET, SECCOMP_RET_ALLOW);
	struct sock_fprog program = { 1, &all };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		exit(5);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART };
	int failed = 0, missing = 0;
	sigset_t all;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (strcmp(argv[1], "loads") == 0) {
		bar = map_bar0(open_by_group(argv[2], argv[3], 0).device);
		first = *bar;
		block(SIG_BLOCK, SIGBUS);
	}
	if (strcmp(argv[1], "filtered") == 0)
		filter_own();
	sigfillset(&action.sa_mask);
	for (int number = 1; number < SIGNALS; number++)
		if (is_sent(number))
			sigaction(number, &action, NULL);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	sender = fork();
	if (sender == 0)
		send_all();
	sigprocmask(SIG_UNBLOCK, &all, NULL);
	if (bar)
		block(SIG_BLOCK, SIGBUS);
	while (shared->quiet == 0)
		failed += work();
	for (int number = 1; number < SIGNALS; number++)
		missing += is_sent(number) && shared->taken[number] != ROUNDS;
	printf("delivered: %d calls failed, %d numbers of another count, %d of another kind\n", failed, missing, (int)wrong);

	sigprocmask(SIG_BLOCK, &all, NULL);
	shared->quiet = 2;
	while (shared->sent == 0)
		failed += work();
	failed += work();
	wrong = missing = 0;
	for (int number = 1; number < SIGNALS; number++) {
		siginfo_t info = { 0 };
		sigset_t one;

		if (!is_sent(number) || number == SIGCONT)
			continue;
		sigemptyset(&one);
		sigaddset(&one, number);
		if (sigtimedwait(&one, &info, &(struct timespec){ 0 }) != number)
			missing++;
		else if (!is_right(&info, number, sender) && wrong++ == 0)
			printf("blocked %d: code %d, by %s, value %d\n", number, info.si_code, info.si_pid == sender ? "its sender" : "another", info.si_value.sival_int);
	}
	printf("blocked: %d calls failed, %d lost, %d of another kind\n", failed, missing, (int)wrong);
	kill(sender, SIGKILL);
	waitpid(sender, NULL, 0);
	return 0;
}
