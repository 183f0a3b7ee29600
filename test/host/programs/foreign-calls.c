/* Calls as programs of 32 bits and of the x32 ABI make them. What they name is below 4 GiB: compiled with -no-pie. */
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "calls-of-32-bits.h"

static long i386(long nr, long a, long b, long c)
{
	long result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(nr), "b"(a), "c"(b), "d"(c) : "memory", "r8", "r9", "r10", "r11");
	return result;
}

int main(void)
{
	static const char device[] = "/dev/vfio/vfio", attribute[] = "/sys/bus/pci/devices/0000:00:04.0/vendor";
	static const char file[] = "/etc/passwd", directory[] = "/sys/bus";

	if (!has_calls_of_32_bits()) {
		puts("no calls of 32 bits");
		return 0;
	}
	printf("device %ld, attribute %ld\n", i386(5, (long)device, 2, 0), i386(295, -100, (long)attribute, 0));
	printf("file %d, directory %d\n", i386(5, (long)file, 0, 0) >= 0, i386(5, (long)directory, 0, 0) >= 0);
	printf("io_uring %ld\n", i386(425, 1, 0, 0));
	long x32 = syscall(0x40000000 | SYS_getpid);
	printf("x32 %ld %d\n", x32, errno);
	return 0;
}
