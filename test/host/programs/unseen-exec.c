/*
 * A program becomes another one while a child goes on with its memory, by an exec that has the mark of softiommu's own calls.
 * What a device writes afterwards is the child's.
 */
#define _GNU_SOURCE
#include "device.h"
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLACE ((char *)0x1000000000)
#define LENGTH 0x10000
#define MOVED 0xf000
#define SOURCE 0x200000
#define TARGET 0x100000

static volatile uint64_t *registers;
static int mapped[2], moved[2];

static char *at_place(void)
{
	char *memory = mmap(PLACE, LENGTH, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (memory != PLACE)
		exit(4);
	memset(memory, '.', LENGTH);
	return memory;
}
static int count(char byte)
{
	int found = 0;

	for (int n = 0; n < LENGTH; n++)
		found += PLACE[n] == byte;
	return found;
}
static void map(int container, void *memory, uint64_t iova)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory, .iova = iova, .size = LENGTH,
	};

	if (ioctl(container, VFIO_IOMMU_MAP_DMA, &map))
		exit(5);
}
static int with_the_memory(void *unused)
{
	char byte;

	read(mapped[0], &byte, 1);
	registers[0] = SOURCE;
	registers[1] = TARGET;
	((volatile uint32_t *)registers)[4] = MOVED;
	while (((volatile uint32_t *)registers)[5] == 1)
		usleep(1000);
	dprintf(1, "in the memory that was mapped: %d\n", count('A'));
	write(moved[1], &byte, 1);
	_exit(0);
}
static int successor(char *argv[])
{
	char byte = 0;

	at_place();
	write(atoi(argv[2]), &byte, 1);
	read(atoi(argv[3]), &byte, 1);
	wait(NULL);
	printf("in the next program's: %d\n", count('A'));
	return 0;
}

int main(int argc, char *argv[])
{
	struct by_group of;
	uint16_t command = 6;
	char *source, *stack, to[16], from[16];
	uint64_t mark;

	if (argc > 2)
		return successor(argv);
	mark = strtoull(argv[1], NULL, 16) << 32;
	of = open_by_group("0", "0000:00:04.0", 0);
	pwrite(of.device, &command, sizeof(command), CONFIG + 4);
	registers = map_bar0(of.device);
	source = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(source, 'A', LENGTH);
	map(of.container, source, SOURCE);
	map(of.container, at_place(), TARGET);
	pipe(mapped);
	pipe(moved);
	snprintf(to, sizeof(to), "%d", mapped[1]);
	snprintf(from, sizeof(from), "%d", moved[0]);
	stack = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	clone(with_the_memory, stack + LENGTH, CLONE_VM | SIGCHLD, NULL);
	syscall(SYS_execve, argv[0], (char *[]){ argv[0], argv[1], to, from, NULL }, environ, 0, 0, mark);
	return 6;
}
