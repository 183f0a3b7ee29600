/*
 * Mappings of a device that a program wants larger, elsewhere or left behind: mremap(2) as of VM_PFNMAP and VM_DONTEXPAND
 * memory. Arguments: the group and the name of a generic with 32 KiB of BAR 0. Then what the mapping has left in the program.
 */
#include "device.h"
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

enum { PAGE = 4096 };

static volatile uint8_t *bar;

static void result(const char *what, void *at)
{
	printf("%s: %s\n", what, at == MAP_FAILED ? strerror(errno) : "done");
}
static int descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = -3;

	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}
static uint32_t load(volatile uint8_t *at)
{
	return *(volatile uint32_t *)at;
}
/* Whoever may open the file behind a mapping makes it shorter, or longer. */
static void resize(volatile uint8_t *at, long size)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (long)at, (long)at + PAGE);
	int fd = open(path, O_RDWR);

	if (fd >= 0)
		ftruncate(fd, size);
	close(fd);
}

int main(int argc, char **argv)
{
	struct by_group of = open_by_group(argv[1], argv[2], 0);
	struct vfio_region_info region = bar0_of(of.device);
	int before = descriptors();
	void *ram = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *moved;

	bar = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, of.device, region.offset);
	printf("descriptors more: %d\n", descriptors() - before);
	fflush(stdout);
	if (bar == MAP_FAILED)
		return 3;
	*(volatile uint32_t *)bar = 0x1234;
	result("grown", mremap((void *)bar, PAGE, 2 * PAGE, 0));
	result("grown and moved", mremap((void *)bar, PAGE, 8 * PAGE, MREMAP_MAYMOVE));
	result("grown at a place", mremap((void *)bar, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, ram + (1 << 20)));
	result("grown over itself from below",
	       mremap((void *)bar, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (char *)bar - PAGE));
	result("once more", mremap((void *)bar, 0, PAGE, MREMAP_MAYMOVE));
	result("left behind", mremap((void *)bar, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP));
	result("unknown flags", mremap((void *)bar, PAGE, 2 * PAGE, 8));
	result("to a place without leave", mremap((void *)bar, PAGE, 2 * PAGE, MREMAP_FIXED, ram));
	result("from inside a page", mremap((void *)bar + 1, PAGE, 2 * PAGE, 0));
	result("to nothing", mremap((void *)bar, PAGE, 0, 0));
	printf("it is: %x\n", load(bar));
	moved = mremap((void *)bar, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, ram);
	result("moved", moved);
	bar = moved;
	printf("it is: %x\n", load(bar));
	*(volatile uint32_t *)(bar + 8) = 0x5678;
	printf("of the region: %zd\n", pread(of.device, &before, 4, region.offset + 8));
	printf("which is: %x\n", before);
	ram = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	result("memory", mremap(ram, PAGE, 8 * PAGE, MREMAP_MAYMOVE));
	if (argc > 3) {
		resize(bar, 0);
		pread(of.device, &before, 4, region.offset + 8);
		resize(bar, 1 << 20);
		pread(of.device, &before, 4, region.offset + 8);
		pwrite(of.device, &(uint32_t){ 7 }, 4, region.offset + 8);
		printf("after that: %x\n", load(bar + 8));
	}
	return 0;
}
