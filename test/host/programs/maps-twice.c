/* A mapping where one is already, made three calls deep; LOCALS bytes lie on the stack between. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#ifndef LOCALS
#define LOCALS 100
#endif

struct ioas_map {
	uint32_t size, flags, ioas_id, reserved;
	uint64_t user_va, length, iova;
};

static void map_page(int fd, uint32_t ioas)
{
	struct ioas_map map = { .size = sizeof(map), .flags = 7, .ioas_id = ioas, .length = 4096, .iova = 4096 };

	map.user_va = (uintptr_t)aligned_alloc(4096, 4096);
	ioctl(fd, 0x3b85, &map);
}

static int map_twice(int fd, uint32_t ioas)
{
	volatile char locals[LOCALS];

	memset((void *)locals, 3, sizeof(locals));
	map_page(fd, ioas);
	map_page(fd, ioas);
	return locals[LOCALS - 1];
}

int main(void)
{
	uint32_t alloc[3] = { sizeof(alloc) };
	int fd = open("/dev/iommu", O_RDWR);

	ioctl(fd, 0x3b81, alloc);
	return map_twice(fd, alloc[2]);
}
