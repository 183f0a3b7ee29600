/*
 * A driver of an NVMe controller in one thread: many short lives of an I/O queue, then many commands. Doorbells it rings much
 * are memory to it for a while. Every command is answered, or it says which was not. Argument: commands of the last queue.
 */
#include <sched.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "device.h"

#define NAME "0000:00:05.0"
#define MEMORY 0x100000
#define IOVA 0x1000000ul
#define ENTRIES 16
#define LIVES 60
#define PATIENCE 20.0

struct queue {
	uint32_t *commands;
	volatile uint32_t *answers;
	int tail, head, phase;
	volatile uint32_t *doorbells;
};

static volatile uint32_t *bar;
static uint8_t *memory;

static double now(void)
{
	struct timespec at;
	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec + at.tv_nsec / 1e9;
}
static struct queue queue_at(int id)
{
	uint8_t *at = memory + id * 0x2000;
	memset(at, 0, 0x2000);
	return (struct queue) {
		.commands = (uint32_t *)at, .answers = (uint32_t *)(at + 0x1000), .phase = 1,
		.doorbells = bar + 0x1000 / 4 + 2 * id,
	};
}
static uint64_t iova_of(volatile void *at)
{
	return IOVA + ((uint8_t *)at - memory);
}
static void submit(struct queue *queue, uint32_t first, uint64_t data, const uint32_t *last)
{
	uint32_t *command = queue->commands + 16 * queue->tail;
	memset(command, 0, 64);
	command[0] = first;
	command[1] = 1;
	memcpy(command + 6, &data, 8);
	memcpy(command + 10, last, 24);
	queue->tail = (queue->tail + 1) % ENTRIES;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	queue->doorbells[0] = queue->tail;
}
/* The status of the next answer; the program ends where none comes. */
static int answer(struct queue *queue, const char *what, int n)
{
	volatile uint32_t *entry = queue->answers + 4 * queue->head;
	double since = now();
	int status;

	while (((entry[3] >> 16) & 1) != queue->phase) {
		sched_yield();
		if (now() - since > PATIENCE) {
			printf("no answer to %s %d\n", what, n);
			exit(1);
		}
	}
	status = entry[3] >> 17;
	queue->head = (queue->head + 1) % ENTRIES;
	if (queue->head == 0)
		queue->phase ^= 1;
	queue->doorbells[1] = queue->head;
	return status;
}
static int admin(struct queue *queue, uint32_t opcode, uint64_t data, uint32_t w10, uint32_t w11)
{
	uint32_t last[6] = { w10, w11 };
	submit(queue, opcode, data, last);
	return answer(queue, "admin command", opcode);
}
static struct queue make(struct queue *of_admin, int *failed)
{
	struct queue io = queue_at(1);
	*failed += admin(of_admin, 5, iova_of(io.answers), (ENTRIES - 1) << 16 | 1, 1);
	*failed += admin(of_admin, 1, iova_of(io.commands), (ENTRIES - 1) << 16 | 1, 1 << 16 | 1);
	return io;
}
static void enable(struct queue *of_admin)
{
	bar[0x14 / 4] = 0;
	while (bar[0x1c / 4] & 1)
		;
	*of_admin = queue_at(0);
	bar[0x24 / 4] = (ENTRIES - 1) << 16 | (ENTRIES - 1);
	*(volatile uint64_t *)(bar + 0x28 / 4) = iova_of(of_admin->commands);
	*(volatile uint64_t *)(bar + 0x30 / 4) = iova_of(of_admin->answers);
	bar[0x14 / 4] = 4 << 20 | 6 << 16 | 1;
	while (!(bar[0x1c / 4] & 1))
		;
}
/* Reads, so many under way at a time. */
static int reads(struct queue *io, int count, int depth)
{
	uint32_t last[6] = { 0, 0, 7 };
	int sent = 0, failed = 0;

	for (int done = 0; done < count; done++) {
		for (; sent < count && sent < done + depth; sent++)
			submit(io, 2 | sent << 16, iova_of(memory + 0x10000 + (sent % ENTRIES) * 4096), last);
		failed += answer(io, "read", done) != 0;
	}
	return failed;
}
int main(int argc, char **argv)
{
	struct by_group of = open_by_group("1", NAME, 0);
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.iova = IOVA, .size = MEMORY,
	};
	struct vfio_region_info config = { .argsz = sizeof(config), .index = VFIO_PCI_CONFIG_REGION_INDEX };
	uint16_t command = 6;
	struct rusage before, after;
	struct queue of_admin, io;
	int count = atoi(argv[1]), failed = 0;
	long stops;

	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	map.vaddr = (uintptr_t)memory;
	if (ioctl(of.container, VFIO_IOMMU_MAP_DMA, &map))
		return 4;
	ioctl(of.device, VFIO_DEVICE_GET_REGION_INFO, &config);
	pwrite(of.device, &command, 2, config.offset + 4);
	bar = map_bar0(of.device);
	for (int life = 0; life < LIVES; life++) {
		/* Each queue begins where another may have ended; some with another controller below them. */
		if (life % 10 == 0)
			enable(&of_admin);
		io = make(&of_admin, &failed);
		failed += reads(&io, 1 + life * 7 % (2 * ENTRIES), 1 + life % 4);
		failed += admin(&of_admin, 0, 0, 1, 0);
		failed += admin(&of_admin, 4, 0, 1, 0);
	}
	io = make(&of_admin, &failed);
	failed += reads(&io, 100, ENTRIES - 1);
	getrusage(RUSAGE_SELF, &before);
	failed += reads(&io, count, ENTRIES - 1);
	getrusage(RUSAGE_SELF, &after);
	stops = after.ru_nvcsw - before.ru_nvcsw;
	printf("failed: %d\ndoorbells rung: %d\nstops: %ld\n", failed, 2 * count, stops);

	/* What decodes nothing raises SIGBUS, rung much or not. */
	fflush(stdout);
	command = 0;
	pwrite(of.device, &command, 2, config.offset + 4);
	io.doorbells[0] = 0;
	printf("a doorbell that is off was rung\n");
}
