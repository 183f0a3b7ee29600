/*
 * What the DMA sanitizer costs a program: an ioctl that maps nothing, a pair of calls that maps a page and unmaps it, and DMA of
 * a device that works off a long list. The same program runs with and without `run --sanitize` at the same time; a byte that
 * goes from one to the other says whose round it is, so both meet the same machine.
 * `sanitize FIRST SECOND`: pipes by name. It waits for a byte from the one, and gives it to the other. Of every round it says
 * what an operation took: a line "ID NANOSECONDS".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>
#include "ioat.h"

#define IOCTLS 400
#define PAIRS 200
#define CHAINS 4
/* Descriptors of a chain, each of which is four transfers: itself, its source, its target, what is done. */
#define CHAIN 250
#define TRANSFERS (4 * CHAIN)
#define ROUNDS 20
#define WARM_UP 8
#define PAGE 4096
#define IOVA 0x100000

static int group, container;

static uint64_t ioctls(void)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	uint64_t sum = 0;

	for (int n = 0; n < IOCTLS; n++) {
		status.flags = 0;
		sum += ioctl(group, VFIO_GROUP_GET_STATUS, &status) == 0 && (status.flags & 1);
	}
	return sum == IOCTLS;
}

static uint64_t unmap(uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap), .iova = iova, .size = size };

	return ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap) ? 0 : unmap.size;
}
static void *page;
static uint64_t pairs(void)
{
	uint64_t sum = 0;

	for (int n = 0; n < PAIRS; n++)
		sum += map_dma(container, page, IOVA, PAGE) == 0 && unmap(IOVA, PAGE) == PAGE;
	return sum == PAIRS;
}

/* What the device sees: descriptors, a completion, a page of source, pages of target. */
struct memory {
	struct descriptor chain[CHAIN];
	uint64_t completion[8];
	uint8_t source[PAGE], target[CHAIN][PAGE];
} __attribute__((aligned(PAGE)));
#define DEVICE_IOVA 0x4000000
#define AT(field) (DEVICE_IOVA + offsetof(struct memory, field))
static struct memory *memory;
static volatile uint8_t *registers;
static uint8_t value;

static uint64_t dma(void)
{
	uint64_t sum = 0;

	for (int n = 0; n < CHAINS; n++) {
		memset(memory->source, ++value, PAGE);
		*(volatile uint64_t *)(registers + CHAINADDR) = AT(chain);
		*(volatile uint16_t *)(registers + DMACOUNT) = CHAIN;
		while ((*(volatile uint64_t *)(registers + CHANSTS) & 7) == 0)
			;
		sum += memory->target[CHAIN - 1][PAGE - 1] == value && memory->target[0][0] == value &&
		       memory->completion[0] == AT(chain[CHAIN - 1]) + 1;
	}
	return sum == CHAINS;
}
static void start_engine(void)
{
	registers = open_engine(group);
	memory = mmap(NULL, sizeof(*memory), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(page, 1, PAGE);
	bench_check(memory != MAP_FAILED && page != MAP_FAILED, "memory");
	bench_check(map_dma(container, memory, DEVICE_IOVA, (sizeof(*memory) + PAGE - 1) & -PAGE) == 0, "is mapped");
	for (int n = 0; n < CHAIN; n++)
		memory->chain[n] = (struct descriptor){
			.size = PAGE, .ctl = COMPLETION_WRITE,
			.src = AT(source), .dst = AT(target[n]), .next = AT(chain[n + 1]),
		};
	*(registers + CHANCMD) = RESET;
	*(volatile uint64_t *)(registers + CHANCMP) = AT(completion);
}

static void timed(const char *id, int is_told, uint64_t (*run)(void), long ops)
{
	double start = bench_now();

	bench_check(run(), id);
	if (is_told)
		printf("%s %.3f\n", id, (bench_now() - start) / ops);
}
int main(int argc, char **argv)
{
	int turn, other;
	char byte = 0;

	if (argc < 3)
		return 0; /* There is no baseline in C. */
	turn = open(argv[1], O_RDWR);
	other = open(argv[2], O_RDWR);
	group = open("/dev/vfio/0", O_RDWR);
	container = open("/dev/vfio/vfio", O_RDWR);
	bench_check(turn >= 0 && other >= 0, "pipes");
	bench_check(group >= 0 && container >= 0 && ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) == 0 &&
		    ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0, "the container");
	start_engine();
	for (int round = -WARM_UP; round < ROUNDS; round++) {
		bench_check(read(turn, &byte, 1) == 1, "a turn");
		timed("ioctl", round >= 0, ioctls, IOCTLS);
		timed("map", round >= 0, pairs, PAIRS);
		timed("dma", round >= 0, dma, (long)CHAINS * TRANSFERS);
		bench_check(write(other, &byte, 1) == 1, "the other's turn");
	}
	/* A mistake: whoever runs it knows by that who was watched. */
	bench_check(unmap(IOVA, PAGE) == 0, "nothing is mapped");
	return 0;
}
