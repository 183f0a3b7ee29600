/*
 * Registers of a device that does not answer: memory decode off, or asleep in D3hot. Each touch of its mapping says what the
 * processor told the program. Arguments: group number or "cdev", device, and a register that keeps what is stored there
 * (0: none does).
 */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "device.h"

static sigjmp_buf back;
static siginfo_t info;
static volatile uint8_t *bar;
static int device;

static void caught(int signal, siginfo_t *what, void *context)
{
	info = *what;
	siglongjmp(back, signal);
}

enum access { LOAD, STORE, ADD, COPY };
static void touch(const char *when, enum access access, unsigned at)
{
	static const char *const names[] = { "load", "store", "add", "copy" };
	volatile uint32_t *place = (volatile uint32_t *)(bar + at);
	static uint8_t copy[64];
	int signal = sigsetjmp(back, 1);

	if (signal) {
		printf("%s, %s: %s %s at +%#lx\n", when, names[access], signal == SIGBUS ? "SIGBUS" : "SIGSEGV",
		       info.si_code == BUS_ADRERR ? "BUS_ADRERR" : "other", (long)((uint8_t *)info.si_addr - bar));
		return;
	}
	if (access == LOAD)
		(void)*place;
	else if (access == STORE)
		*place = 7;
	else if (access == ADD)
		__asm__ volatile("lock addl $1, %0" : "+m"(*place));
	else {
		memcpy(copy, (void *)place, sizeof(copy));
		__asm__ volatile("" : : "r"(copy) : "memory");
	}
	printf("%s, %s: done\n", when, names[access]);
}
static void all(const char *when, unsigned at)
{
	for (int access = LOAD; access <= COPY; access++)
		touch(when, access, at + 4 * (access == COPY));
}

static uint16_t config(unsigned at)
{
	uint16_t value = 0;
	pread(device, &value, 2, CONFIG + at);
	return value;
}
static void setConfig(unsigned at, uint16_t value)
{
	pwrite(device, &value, 2, CONFIG + at);
}
static unsigned capability(uint8_t id)
{
	unsigned at = config(0x34) & 0xff;
	while (at && (config(at) & 0xff) != id)
		at = config(at) >> 8;
	return at;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_sigaction = caught, .sa_flags = SA_SIGINFO };
	unsigned keeps = strtoul(argv[3], NULL, 0), power;
	int status;

	setvbuf(stdout, NULL, _IONBF, 0);
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	device = strcmp(argv[1], "cdev") ? open_by_group(argv[1], argv[2], 0).device : open_by_cdev(argv[2], 0);
	bar = map_bar0(device);

	if (keeps)
		*(volatile uint32_t *)(bar + keeps) = 5;
	setConfig(4, config(4) & ~2);
	all("decode off", keeps);
	if (fork() == 0) {
		touch("decode off, in a child", LOAD, keeps);
		return 0;
	}
	wait(&status);
	setConfig(4, config(4) | 2);
	touch("decode on", LOAD, keeps);
	if (keeps)
		printf("the register: %u\n", *(volatile uint32_t *)(bar + keeps));

	power = capability(1);
	if (!power)
		return 0;
	setConfig(power + 4, (config(power + 4) & ~3) | 3);
	printf("power state D%u\n", config(power + 4) & 3);
	all("asleep", keeps);
	setConfig(power + 4, config(power + 4) & ~3);
	printf("power state D%u\n", config(power + 4) & 3);
	touch("awake", LOAD, keeps);
	return 0;
}
