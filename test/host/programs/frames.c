/*
 * A driver of an igb (devices.md 1.6), one queue each way, without interrupts: frames.c echo|ask COUNT BDF GROUP. `echo` sends each
 * frame back that comes; `ask` sends frames of all lengths, one after the other, and wants each back. Both wait for the link before,
 * and `ask` for its end afterwards when a fourth argument follows.
 */
#include <unistd.h>
#include "device.h"

enum { CTRL = 0, STATUS = 8, RCTL = 0x100, TCTL = 0x400, RX = 0x2800, TX = 0x3800, PHY = 0x20 };
enum { BAL = 0, BAH = 4, LEN = 8, SRRCTL = 0xc, HEAD = 0x10, TAIL = 0x18, DCTL = 0x28 };
enum { RING = 64, BUFFER = 2048, PAGES = 0x100000, IOVA = 0x200000 };
enum { TX_RING = 0, RX_RING = 0x1000, TX_DATA = 0x2000, RX_DATA = 0x10000 };

static volatile uint32_t *bar;
static uint8_t *memory;
static unsigned sent, received;

static void ring(unsigned at, unsigned where)
{
	bar[(at + BAL) / 4] = IOVA + where;
	bar[(at + BAH) / 4] = 0;
	bar[(at + LEN) / 4] = RING * 16;
	bar[(at + DCTL) / 4] = 1 << 25;
}
static void give(unsigned n)
{
	uint64_t *descriptor = (uint64_t *)(memory + RX_RING + 16 * (n % RING));

	descriptor[0] = IOVA + RX_DATA + BUFFER * (n % RING);
	descriptor[1] = 0;
}
static void start(int device, int container)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE, .iova = IOVA, .size = PAGES,
	};
	struct vfio_region_info config = { .argsz = sizeof(config), .index = VFIO_PCI_CONFIG_REGION_INDEX };
	uint16_t command = 6;

	memory = mmap(NULL, PAGES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	map.vaddr = (uintptr_t)memory;
	if (ioctl(container, VFIO_IOMMU_MAP_DMA, &map))
		exit(4);
	ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &config);
	if (pwrite(device, &command, 2, config.offset + 4) != 2)
		exit(5);
	ring(TX, TX_RING);
	ring(RX, RX_RING);
	bar[(RX + SRRCTL) / 4] = 2 << 24 | 2;
	bar[RCTL / 4] = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 15 | 1 << 26;
	bar[TCTL / 4] = 2;
	for (unsigned n = 0; n < RING; n++)
		give(n);
	bar[(RX + TAIL) / 4] = RING - 1;
}
/* Until the link is up, or is down. */
static void wait_link(int up)
{
	for (int n = 0; (bar[STATUS / 4] >> 1 & 1) != up; n++) {
		if (n == 3000)
			exit(6);
		usleep(10000);
	}
	printf("link %s\n", up ? "up" : "down");
	fflush(stdout);
}
static void send_frame(const uint8_t *frame, unsigned length)
{
	unsigned n = sent++ % RING;
	volatile uint32_t *descriptor = (uint32_t *)(memory + TX_RING + 16 * n);

	memcpy(memory + TX_DATA + BUFFER * (n % 16), frame, length);
	descriptor[0] = IOVA + TX_DATA + BUFFER * (n % 16);
	descriptor[1] = 0;
	descriptor[2] = 0x2b300000 | length;
	descriptor[3] = length << 14;
	bar[(TX + TAIL) / 4] = sent % RING;
	while (!(descriptor[3] & 1))
		usleep(100);
}
static unsigned receive(uint8_t *frame)
{
	unsigned n = received++ % RING;
	volatile uint32_t *descriptor = (uint32_t *)(memory + RX_RING + 16 * n);
	unsigned length;

	for (int wait = 0; !(descriptor[2] & 1); wait++) {
		if (wait == 200000)
			exit(7);
		usleep(100);
	}
	length = descriptor[3] & 0xffff;
	memcpy(frame, memory + RX_DATA + BUFFER * n, length);
	give(n);
	bar[(RX + TAIL) / 4] = n;
	return length;
}

int main(int argc, char **argv)
{
	int count = atoi(argv[2]);
	struct by_group of = open_by_group(argv[4], argv[3], 0);
	uint8_t frame[BUFFER], answer[BUFFER];

	bar = map_bar0(of.device);
	start(of.device, of.container);
	wait_link(1);
	for (int n = 0; n < count; n++) {
		unsigned length = 60 + n * 131 % 1455;

		if (!strcmp(argv[1], "echo")) {
			length = receive(answer);
			send_frame(answer, length);
			continue;
		}
		for (unsigned at = 0; at < length; at++)
			frame[at] = at < 6 ? 0xff : n + at;
		send_frame(frame, length);
		if (receive(answer) != length || memcmp(frame, answer, length)) {
			printf("frame %d came back otherwise\n", n);
			return 1;
		}
	}
	printf("%d frames\n", count);
	if (argc > 5)
		wait_link(0);
	return 0;
}
