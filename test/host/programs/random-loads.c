/*
 * Loads and stores of registers at random, the same ones for the same seed: by one thread, by others and by children, between
 * changes of what they depend on: what is mapped at their address, the bytes of their instruction, memory decoding, and
 * whether SIGBUS is blocked. What each has loaded, or how it ended, is a line.
 *
 * random-loads SEED COUNT GROUP DEVICE
 */
#include <linux/pci_regs.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include "device.h"
#include "random.h"

enum { PAGE = 4096, PAGES = 4, CHILD_ACCESSES = 6 };
static int device;
static struct vfio_region_info region;
static uint8_t *bar;
static sigjmp_buf before;
static uint32_t (*load_written)(const volatile void *);

static void told(const char *what, uint64_t value)
{
	printf("%s %llx\n", what, (unsigned long long)value);
	fflush(stdout);
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
	siglongjmp(before, 1000 * signal + info->si_code);
}
static void catch(int signal)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

	sigaction(signal, &action, NULL);
}
static void block(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGBUS);
	pthread_sigmask(how, &set, NULL);
}
static int is_blocked(void)
{
	sigset_t set;

	pthread_sigmask(SIG_BLOCK, NULL, &set);
	return sigismember(&set, SIGBUS);
}

/* mov (%rdi), %eax, or movzwl, or movzbl: the same address has another instruction each time. */
static void write_code(void)
{
	static const uint8_t forms[][4] = { { 0x8b, 0x07, 0xc3 }, { 0x0f, 0xb7, 0x07, 0xc3 }, { 0x0f, 0xb6, 0x07, 0xc3 } };

	memcpy((void *)load_written, forms[any(3)], 4);
}
/* A page of the BAR shows another page of it, is only to be read, or is gone. */
static void remap(void)
{
	int page = any(PAGES), shown = any(PAGES), how = any(5);
	void *at = bar + page * PAGE;

	if (how == 0)
		munmap(at, PAGE);
	else
		mmap(at, PAGE, how == 1 ? PROT_READ : PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, device,
		     region.offset + shown * PAGE);
}
static void decode(int on)
{
	uint16_t command;

	pread(device, &command, 2, CONFIG + PCI_COMMAND);
	command = on ? command | PCI_COMMAND_MEMORY : command & ~PCI_COMMAND_MEMORY;
	pwrite(device, &command, 2, CONFIG + PCI_COMMAND);
}

static void one_access(void)
{
	volatile uint8_t *at = bar + any(PAGES) * PAGE + 8 * any(16) + any(3) * (any(4) == 0);
	int form = any(6), ended;
	uint32_t value = any(1 << 30);

	ended = sigsetjmp(before, 1);
	if (ended) {
		told("fault", ended);
		return;
	}
	switch (form) {
	case 0: told("load 4", *(volatile uint32_t *)at); break;
	case 1: told("load 8", *(volatile uint64_t *)at); break;
	case 2: told("load 1", *at); break;
	case 3: told("load written", load_written(at)); break;
	case 4: *(volatile uint32_t *)at = value; told("stored 4", value); break;
	default: *(volatile uint64_t *)at = value * 0x100000001ULL; told("stored 8", value);
	}
}
static void *in_thread(void *unused)
{
	decode(1);
	if (any(2))
		block(SIG_BLOCK);
	for (int n = any(4); n >= 0; n--)
		one_access();
	told("blocked", is_blocked());
	return NULL;
}
static void in_child(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		for (int n = 0; n < CHILD_ACCESSES; n++)
			one_access();
		_exit(3);
	}
	waitpid(pid, &status, 0);
	for (int n = 0; n < 40; n++) /* so that what comes next is not what the child had */
		any(2);
	told("child", status);
}

int main(int argc, char **argv)
{
	struct by_group of = open_by_group(argv[3], argv[4], 0);
	pthread_t thread;

	state = strtoull(argv[1], NULL, 10) * 0x9e3779b97f4a7c15ULL + 1;
	device = of.device;
	region = bar0_of(device);
	bar = map_bar0(device);
	load_written = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	write_code();
	catch(SIGSEGV);
	catch(SIGBUS);
	for (int n = atoi(argv[2]); n > 0; n--) {
		switch (any(24)) {
		case 0: remap(); break;
		case 1: write_code(); break;
		case 2: decode(any(3) > 0); break;
		case 3: block(any(2) ? SIG_BLOCK : SIG_UNBLOCK); break;
		case 4: catch(SIGBUS); break;
		case 5:
			pthread_create(&thread, NULL, in_thread, NULL);
			pthread_join(thread, NULL);
			break;
		case 6: in_child(); break;
		default: one_access();
		}
		/* Without an answer and with the signal blocked an access is the end. */
		if (is_blocked())
			decode(1);
	}
	return 0;
}
