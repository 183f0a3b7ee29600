/*
 * Accesses that begin in one mapping and end in another: memory and registers, registers and memory, registers and nothing,
 * registers and a page that may not be read. Arguments: group number and device, whose BAR 0 is memory of two pages or more.
 */
#include <linux/vfio.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "device.h"

static sigjmp_buf back;
static siginfo_t info;
static uint8_t *middle;

static void caught(int signal, siginfo_t *what, void *context)
{
	info = *what;
	siglongjmp(back, 1);
}
static void say(const char *what)
{
	const char *code = info.si_code == SEGV_MAPERR ? "SEGV_MAPERR" : info.si_code == SEGV_ACCERR ? "SEGV_ACCERR" : "other";

	if (info.si_signo == SIGBUS)
		code = info.si_code == BUS_ADRERR ? "BUS_ADRERR" : "other";
	printf("%s: %s %s at +%ld\n", what, info.si_signo == SIGBUS ? "SIGBUS" : "SIGSEGV", code, (long)((uint8_t *)info.si_addr - middle));
}
static void access_at(const char *what, uint8_t *at, int store)
{
	if (sigsetjmp(back, 1)) {
		say(what);
		return;
	}
	if (store)
		__asm__ volatile("movq %1, (%0)" : : "r"(at), "r"(0x1122334455667788ULL) : "memory");
	else {
		uint64_t value;
		__asm__ volatile("movq (%1), %0" : "=r"(value) : "r"(at) : "memory");
		printf("%s: %#lx\n", what, value);
		return;
	}
	printf("%s: done\n", what);
}
static uint64_t quad(const uint8_t *at)
{
	uint64_t value = 0;
	for (int n = 7; n >= 0; n--)
		value = value << 8 | *(const volatile uint8_t *)(at + n);
	return value;
}

int main(int argc, char **argv)
{
	struct vfio_region_info region;
	struct sigaction action = { .sa_sigaction = caught, .sa_flags = SA_SIGINFO };
	int device;
	uint8_t *place = mmap(NULL, 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *registers, vector[16], divided = 0;

	setvbuf(stdout, NULL, _IONBF, 0);
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGFPE, &action, NULL);
	device = open_by_group(argv[1], argv[2], 0).device;
	region = bar0_of(device);

	/* memory, registers, memory */
	middle = place + 4096;
	mmap(place, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	mmap(place + 8192, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	registers = mmap(middle, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, device, region.offset);
	if (registers == MAP_FAILED)
		return 3;
	for (int n = -8; n < 8; n++)
		middle[n] = 0x10 + n, middle[4096 + n] = 0x30 + n;
	access_at("memory and registers, load", middle - 3, 0);
	access_at("registers and memory, load", middle + 4096 - 5, 0);
	access_at("memory and registers, store", middle - 3, 1);
	access_at("registers and memory, store", middle + 4096 - 5, 1);
	printf("stored: %#lx %#lx\n", quad(middle - 3), quad(middle + 4096 - 5));
	memcpy(vector, middle + 4096 - 9, 16);
	__asm__ volatile("movdqu (%0), %%xmm0; movdqu %%xmm0, (%1)" : : "r"(middle + 4096 - 9), "r"(middle - 9) : "xmm0", "memory");
	printf("vectors: %s\n", memcmp(vector, middle - 9, 16) ? "wrong" : "the same");

	/* registers, nothing */
	munmap(place + 8192, 4096);
	memset(middle + 4096 - 8, 0x55, 8);
	access_at("registers and nothing, load", middle + 4096 - 5, 0);
	access_at("registers and nothing, store", middle + 4096 - 5, 1);
	printf("left alone: %#lx\n", quad(middle + 4096 - 8));
	mmap(place + 8192, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	access_at("registers and a forbidden page, load", middle + 4096 - 5, 0);
	mmap(place + 8192, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	access_at("registers and a read-only page, store", middle + 4096 - 5, 1);
	access_at("the last 8 bytes, load", middle + 4096 - 8, 0);

	/* what the processor says of an instruction on registers, and what we cannot do */
	if (sigsetjmp(back, 1))
		divided = info.si_signo == SIGFPE && info.si_code == FPE_INTDIV;
	else {
		memset(middle, 0, 8);
		__asm__ volatile("divl (%0)" : : "r"(middle), "a"(1), "d"(0) : "cc");
	}
	printf("division by zero: %s\n", divided ? "SIGFPE FPE_INTDIV" : "wrong");
	if (sigsetjmp(back, 1))
		say("a jump through registers");
	else
		__asm__ volatile("jmp *16(%0)" : : "r"(middle));

	if (sigsetjmp(back, 1))
		say("executed");
	else
		((void (*)(void))(middle + 32))();
	mprotect(middle, 4096, PROT_READ | PROT_EXEC);
	if (sigsetjmp(back, 1))
		say("executed with leave");
	else
		((void (*)(void))(middle + 32))();
	return 0;
}
