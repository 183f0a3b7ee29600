/* Has this kernel calls of programs of 32 bits? One that is made without them, or with them switched off, kills who tries. */
#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

static sigjmp_buf no_calls_of_32_bits;

static void refused(int signal)
{
	siglongjmp(no_calls_of_32_bits, signal);
}
static int has_calls_of_32_bits(void)
{
	void (*before)(int) = signal(SIGSEGV, refused);
	long pid = -1;

	if (sigsetjmp(no_calls_of_32_bits, 1) == 0)
		__asm__ volatile("int $0x80" : "=a"(pid) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
	signal(SIGSEGV, before);
	return pid == getpid();
}
