/*
 * DMA of a device: copies from page to page of a program's memory, chosen at random, and of 1 MiB in one piece.
 *
 * Without an argument this is the baseline: private memory of another process is read and written by process_vm_readv(2) and
 * process_vm_writev(2), shared memory by memcpy(3). `dma client` is the program, to be run under softiommu with an I/OAT engine at
 * 0000:00:04.0: the same copies, a chain of descriptors for a doorbell.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#define BENCH_ROUNDS 1
#define BENCH_WARM_UP 0
#include "ioat.h"

#define PAGE 4096u
#define LARGE (1u << 20)
#define SPAN (64u << 20)
#define PAGES (SPAN / PAGE)
/* Descriptors of a chain. */
#define COPIES 1000
#define LARGE_COPIES 16
/* Each says its figure: the best one counts. */
#define ROUNDS 15

static uint8_t *private_memory, *shared_memory;
/* What a copy is: from, to, in bytes of the span. */
struct copy {
	uint32_t from, to;
};
static struct copy small[COPIES], large[LARGE_COPIES];
/* What is copied now. */
static uint8_t *memory;
static const struct copy *copies;
static uint32_t count, length;

static void choose(void)
{
	uint32_t *order = shuffled(PAGES);

	for (int n = 0; n < COPIES; n++)
		small[n] = (struct copy){ order[2 * n] * PAGE, order[2 * n + 1] * PAGE };
	for (uint32_t n = 0; n < LARGE_COPIES; n++)
		large[n] = (struct copy){ n * LARGE, (n + LARGE_COPIES) * LARGE };
}
static uint8_t *some_memory(int flags)
{
	uint8_t *made = mmap(NULL, SPAN, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	bench_check(made != MAP_FAILED, "memory");
	return made;
}
/* A byte of each page tells which it is, and which round: so that each copy is seen. */
static uint8_t round_now;
static uint8_t mark_of(uint32_t from)
{
	return (uint8_t)(from / PAGE * 7 + round_now);
}

/* The other process: it marks what is copied, says so, and tells whether it came. */
static pid_t other;
static int ask[2], answer[2];

static void serve(void)
{
	struct { uint8_t *memory; const struct copy *copies; uint32_t count, length; uint8_t round, check; } wish;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(ask[0], &wish, sizeof(wish)) == sizeof(wish)) {
		uint8_t ok = 1;

		round_now = wish.round;
		for (uint32_t n = 0; n < wish.count; n++) {
			const struct copy *one = &wish.copies[n];

			if (!wish.check)
				wish.memory[one->from + wish.length - 1] = mark_of(one->from);
			else
				ok &= wish.memory[one->to + wish.length - 1] == mark_of(one->from);
		}
		if (write(answer[1], &ok, 1) != 1)
			_exit(1);
	}
	_exit(0);
}
static void marked(int check)
{
	if (memory == private_memory && other > 0) {
		struct { uint8_t *memory; const struct copy *copies; uint32_t count, length; uint8_t round, check; } wish = {
			memory, copies, count, length, round_now, (uint8_t)check,
		};
		uint8_t ok;

		bench_check(write(ask[1], &wish, sizeof(wish)) == sizeof(wish) && read(answer[0], &ok, 1) == 1 && ok,
			    "a copy of private memory");
		return;
	}
	for (uint32_t n = 0; n < count; n++) {
		const struct copy *one = &copies[n];

		if (!check)
			memory[one->from + length - 1] = mark_of(one->from);
		else
			bench_check(memory[one->to + length - 1] == mark_of(one->from), "a copy");
	}
}
static void mark(void)
{
	round_now++;
	marked(0);
}
static void verify(uint64_t result)
{
	bench_check(result == count, "all are copied");
	marked(1);
}

static uint64_t copy_private(void)
{
	static uint8_t buffer[LARGE];
	uint64_t done = 0;

	for (uint32_t n = 0; n < count; n++) {
		struct iovec own = { buffer, length };
		struct iovec from = { memory + copies[n].from, length }, to = { memory + copies[n].to, length };

		done += process_vm_readv(other, &own, 1, &from, 1, 0) == (ssize_t)length &&
			process_vm_writev(other, &own, 1, &to, 1, 0) == (ssize_t)length;
	}
	return done;
}
static uint64_t copy_shared(void)
{
	for (uint32_t n = 0; n < count; n++)
		memcpy(memory + copies[n].to, memory + copies[n].from, length);
	return count;
}

/* What the device sees besides. */
struct queue {
	struct descriptor chain[COPIES];
	uint64_t completion[8];
} __attribute__((aligned(4096)));
#define QUEUE_IOVA 0x1000000ull
#define PRIVATE_IOVA 0x10000000ull
#define SHARED_IOVA 0x20000000ull
#define AT(field) (QUEUE_IOVA + offsetof(struct queue, field))
static struct queue *queue;
static volatile uint8_t *registers;

static void write_chain(void)
{
	uint64_t base = memory == private_memory ? PRIVATE_IOVA : SHARED_IOVA;

	mark();
	for (uint32_t n = 0; n < count; n++)
		queue->chain[n] = (struct descriptor){
			.size = length, .ctl = n + 1 == count ? COMPLETION_WRITE : 0,
			.src = base + copies[n].from, .dst = base + copies[n].to, .next = AT(chain[n + 1]),
		};
	*(registers + CHANCMD) = RESET;
	*(volatile uint64_t *)(registers + CHANCMP) = AT(completion);
	queue->completion[0] = 0;
}
static uint64_t copy_by_device(void)
{
	*(volatile uint64_t *)(registers + CHAINADDR) = AT(chain);
	*(volatile uint16_t *)(registers + DMACOUNT) = (uint16_t)count;
	/* Memory, so that waiting costs softiommu nothing. */
	while (*(volatile uint64_t *)&queue->completion[0] != AT(chain[count - 1]) + 1)
		;
	return count;
}
static void start_engine(void)
{
	int group = open("/dev/vfio/0", O_RDWR), container = open("/dev/vfio/vfio", O_RDWR);

	bench_check(group >= 0 && container >= 0 && ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) == 0 &&
		    ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0, "the container");
	registers = open_engine(group);
	queue = mmap(NULL, sizeof(*queue), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bench_check(queue != MAP_FAILED, "memory");
	bench_check(1u << registers[XFERCAP] >= LARGE, "a descriptor copies 1 MiB");
	bench_check(map_dma(container, queue, QUEUE_IOVA, sizeof(*queue)) == 0 &&
		    map_dma(container, private_memory, PRIVATE_IOVA, SPAN) == 0 &&
		    map_dma(container, shared_memory, SHARED_IOVA, SPAN) == 0, "is mapped");
}

static void measure(const char *id, uint8_t *of, uint32_t size, uint64_t (*run)(void), void (*setup)(void))
{
	memory = of;
	length = size;
	copies = size == PAGE ? small : large;
	count = size == PAGE ? COPIES : LARGE_COPIES;
	bench(id, count, setup, run, verify);
}
int main(int argc, char **argv)
{
	int is_client = argc > 1 && strcmp(argv[1], "client") == 0;
	uint64_t (*copy_p)(void) = is_client ? copy_by_device : copy_private;
	uint64_t (*copy_s)(void) = is_client ? copy_by_device : copy_shared;
	void (*setup)(void) = is_client ? write_chain : mark;

	choose();
	private_memory = some_memory(MAP_PRIVATE);
	shared_memory = some_memory(MAP_SHARED);
	memset(shared_memory, 1, SPAN);
	if (is_client) {
		memset(private_memory, 1, SPAN);
		start_engine();
	} else {
		bench_check(pipe(ask) == 0 && pipe(answer) == 0, "pipes");
		other = fork();
		bench_check(other >= 0, "fork");
		if (other == 0) {
			memset(private_memory, 1, SPAN);
			serve();
		}
	}
	for (int n = 0; n < ROUNDS; n++) {
		measure("dma-private", private_memory, PAGE, copy_p, setup);
		measure("dma-private-large", private_memory, LARGE, copy_p, setup);
		measure("dma-shared", shared_memory, PAGE, copy_s, setup);
		measure("dma-shared-large", shared_memory, LARGE, copy_s, setup);
	}
	if (other > 0) {
		kill(other, SIGKILL);
		waitpid(other, NULL, 0);
	}
	return 0;
}
