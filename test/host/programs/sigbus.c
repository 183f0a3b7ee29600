/*
 * What register accesses leave of a program's signals: SIGBUS blocked, ignored, with handlers, and SIGTRAP. Nothing of them is
 * changed by an access, and one without an answer is a SIGBUS. Arguments: group number and device, whose BAR 0 answers.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "device.h"

static volatile uint32_t *bar;
static int device;
static volatile sig_atomic_t caught, traps;
static void *volatile fault;
static sigjmp_buf before;
static char stack[65536];

static void handler(int signal, siginfo_t *info, void *context)
{
	caught = info->si_code;
}
static void trapped(int signal)
{
	traps++;
}
static void mean(void (*handler)(int))
{
	signal(SIGBUS, handler);
}
static void block_one(int how, int signal)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signal);
	pthread_sigmask(how, &set, NULL);
}
static void block(int how)
{
	block_one(how, SIGBUS);
}
static int is_blocked(int signal)
{
	sigset_t set;

	pthread_sigmask(SIG_BLOCK, NULL, &set);
	return sigismember(&set, signal);
}
/* A load of a register with the trap flag set. */
static unsigned stepped(void)
{
	unsigned value;

	__asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; movl (%1), %0; nop; pushfq; andq $~0x100, (%%rsp); popfq"
			 : "=&r"(value) : "r"(bar) : "memory", "cc");
	return value;
}

static const char *meaning(void)
{
	struct sigaction now;
	static char text[64];

	sigaction(SIGBUS, NULL, &now);
	if (now.sa_handler == SIG_DFL)
		return "default";
	if (now.sa_handler == SIG_IGN)
		return "ignored";
	snprintf(text, sizeof(text), "%s, flags %s, %d blocked", now.sa_sigaction == handler ? "handler" : "stranger",
		 now.sa_flags & SA_ONSTACK && now.sa_flags & SA_SIGINFO ? "kept" : "lost", sigismember(&now.sa_mask, SIGUSR2));
	return text;
}
static const char *state(void)
{
	static char text[128];
	sigset_t mask;

	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	snprintf(text, sizeof(text), "%s, %sblocked", meaning(), sigismember(&mask, SIGBUS) ? "" : "not ");
	return text;
}
static void touch(const char *when)
{
	int failed = 0;

	for (int n = 0; n < 50; n++)
		failed += *bar == 0xffffffff;
	printf("%s: %s\n", when, failed ? "no access" : state());
}
/* A child's end. */
static void child(const char *what, void (*run)(void))
{
	int status;

	if (fork() == 0) {
		run();
		_exit(0);
	}
	wait(&status);
	if (WIFSIGNALED(status))
		printf("%s: ended by signal %d\n", what, WTERMSIG(status));
	else
		printf("%s: exit %d\n", what, WEXITSTATUS(status));
}

static void decode(int on)
{
	uint16_t command;

	pread(device, &command, 2, CONFIG + 4);
	command = on ? command | 2 : command & ~2;
	pwrite(device, &command, 2, CONFIG + 4);
}
static void power(int state)
{
	uint8_t at = 0x34, id = 0;
	uint16_t control;

	do {
		pread(device, &at, 1, CONFIG + at + (id != 0));
		pread(device, &id, 1, CONFIG + at);
	} while (id != PCI_CAP_ID_PM && at != 0);
	pread(device, &control, 2, CONFIG + at + PCI_PM_CTRL);
	control = (control & ~PCI_PM_CTRL_STATE_MASK) | state;
	pwrite(device, &control, 2, CONFIG + at + PCI_PM_CTRL);
}
static void leave(int signal, siginfo_t *info, void *context)
{
	caught = info->si_code;
	fault = info->si_addr;
	siglongjmp(before, 1);
}
static const char *outcome(int store)
{
	if (sigsetjmp(before, 1))
		return caught == BUS_ADRERR && fault == (void *)(bar + 4) ? "BUS_ADRERR there" : "another fault";
	if (store)
		bar[4] = 1;
	else
		(void)bar[4];
	return "done";
}
static void faults(const char *when)
{
	printf("%s: load %s, ", when, outcome(0));
	printf("store %s\n", outcome(1));
}
static void touch_blind(void)
{
	decode(0);
	(void)*bar;
}
static void kill_self(void)
{
	(void)*bar;
	kill(getpid(), SIGBUS);
}
static void pending(void)
{
	sigset_t set;

	kill(getpid(), SIGBUS);
	(void)*bar;
	sigpending(&set);
	printf("pending: %d, caught %d\n", sigismember(&set, SIGBUS), caught);
	block(SIG_UNBLOCK);
	printf("then caught: %s\n", caught == SI_USER ? "SI_USER" : "other");
}
static void execute(void)
{
	(void)*bar;
	execlp("grep", "grep", "SigIgn", "/proc/self/status", NULL);
}
static void *blocked_thread(void *when)
{
	int lost = 0;
	sigset_t mask;

	for (int n = 0; n < 300; n++) {
		(void)*bar;
		pthread_sigmask(SIG_BLOCK, NULL, &mask);
		lost += !sigismember(&mask, SIGBUS);
	}
	return (void *)(uintptr_t)lost;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK }, old;
	struct sigaction leaving = { .sa_sigaction = leave, .sa_flags = SA_SIGINFO };
	stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) }, now;
	pthread_t threads[4];
	uintptr_t lost = 0;

	setvbuf(stdout, NULL, _IONBF, 0);
	sigaddset(&action.sa_mask, SIGUSR2);
	sigaltstack(&alternate, NULL);
	device = open_by_group(argv[1], argv[2], 0).device;
	decode(1);
	mean(SIG_IGN);
	bar = map_bar0(device);

	touch("ignored before the mapping");
	mean(SIG_DFL);
	touch("default");
	child("in a child, killed by it", kill_self);
	block(SIG_BLOCK);
	touch("blocked");
	child("blocked and no answer", touch_blind);
	decode(1);
	block(SIG_UNBLOCK);
	touch("not blocked again");
	sigaction(SIGBUS, &action, &old);
	printf("before it: %s\n", old.sa_handler == SIG_DFL ? "default" : "other");
	touch("handler");
	block(SIG_BLOCK);
	touch("handler and blocked");
	child("it waits", pending);
	child("handler, blocked and no answer", touch_blind);
	decode(1);
	mean(SIG_IGN);
	touch("ignored and blocked");
	block(SIG_UNBLOCK);
	touch("ignored");
	child("ignored, sent by itself", kill_self);
	child("ignored and no answer", touch_blind);
	decode(1);
	child("another program", execute);
	sigaction(SIGBUS, &leaving, NULL);
	decode(0);
	faults("without decode");
	decode(1);
	faults("with decode again");
	power(3);
	faults("in D3hot");
	power(0);
	faults("in D0 again");

	syscall(SYS_rt_sigaction, SIGBUS, 1, 0, 8);
	printf("wrong address: %s", strerror(errno));
	syscall(SYS_rt_sigaction, SIGBUS, 0, 0, 4);
	printf("; wrong size: %s\n", strerror(errno));
	block(SIG_BLOCK);
	for (int n = 0; n < 4; n++)
		pthread_create(&threads[n], NULL, blocked_thread, NULL);
	for (int n = 0; n < 4; n++) {
		void *result;
		pthread_join(threads[n], &result);
		lost += (uintptr_t)result;
	}
	printf("lost by four threads at a time: %lu\n", lost);

	signal(SIGTRAP, trapped);
	raise(SIGTRAP);
	(void)*bar;
	__asm__ volatile("int3");
	(void)*bar;
	printf("traps: %d\n", traps);
	signal(SIGTRAP, SIG_IGN);
	(void)*bar;
	printf("traps ignored: %d, blocked: %d\n", signal(SIGTRAP, trapped) == SIG_IGN, is_blocked(SIGBUS));
	block_one(SIG_BLOCK, SIGTRAP);
	raise(SIGTRAP);
	(void)*bar;
	printf("traps blocked: %d, of which so far: %d\n", is_blocked(SIGTRAP), traps);
	block_one(SIG_UNBLOCK, SIGTRAP);
	printf("and now: %d\n", traps);
	*bar = 0x5eed;
	printf("by itself, step for step: %#x, blocked: %d\n", stepped(), is_blocked(SIGBUS));
	sigaltstack(NULL, &now);
	printf("stack: %s\n", now.ss_sp == stack && now.ss_size == sizeof(stack) && now.ss_flags == 0 ? "kept" : "lost");
	return 0;
}
