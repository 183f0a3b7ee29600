/* Maps an attribute in all ways a program can, and another name of it if it is given one. Compiled with -no-pie. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include "calls-of-32-bits.h"

static long i386(long nr, long a, long b, long c, long d, long e)
{
	long result;
	__asm__ volatile("push %%rbp; xor %%ebp, %%ebp; int $0x80; pop %%rbp"
			 : "=a"(result)
			 : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)result;
}

static void say(const char *how, long result)
{
	int failed = result < 0 && result > -4096;

	printf("%s %ld\n", how, failed ? -result : 0);
	/* What is there is given to a call, which looks at it. */
	if (!failed)
		open((const char *)(uintptr_t)result, O_RDONLY);
	fflush(stdout);
}

static long mapped(int fd, int flags)
{
	void *at = mmap(0, 4096, PROT_READ, flags, fd, 0);

	return at == MAP_FAILED ? -errno : (long)at;
}

int main(int argc, char **argv)
{
	for (int n = 1; n < argc; n++) {
		int fd = open(argv[n], O_RDONLY);
		static uint32_t words[6];

		if (fd < 0)
			return 1;
		say("private", mapped(fd, MAP_PRIVATE));
		say("shared", mapped(fd, MAP_SHARED));
		if (!has_calls_of_32_bits()) {
			puts("no calls of 32 bits");
			continue;
		}
		long own = i386(192, 0, 4096, PROT_READ, MAP_PRIVATE, fd);
		say("mmap2", own);
		words[1] = 4096, words[2] = PROT_READ, words[3] = MAP_PRIVATE, words[4] = fd;
		say("old mmap", i386(90, (long)words, 0, 0, 0, 0));
	}
	return 0;
}
