/* An I/OAT engine at 0000:00:04.0 by VFIO, of which the benchmarks of DMA use channel 0. */
#ifndef IOAT_H
#define IOAT_H
#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "bench.h"

/* Registers, and a descriptor. */
#define XFERCAP 0x01
#define CHANCMD 0x84
#define DMACOUNT 0x86
#define CHANSTS 0x88
#define CHAINADDR 0x90
#define CHANCMP 0x98
#define RESET 0x20
#define COMPLETION_WRITE 0x8
struct descriptor {
	uint32_t size, ctl;
	uint64_t src, dst, next, rest[4];
};

static inline int map_dma(int container, void *memory, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory, .iova = iova, .size = size,
	};

	return ioctl(container, VFIO_IOMMU_MAP_DMA, &map);
}
/* Its registers, mapped; it may start transfers. */
static inline volatile uint8_t *open_engine(int group)
{
	struct vfio_region_info bar = { .argsz = sizeof(bar), .index = VFIO_PCI_BAR0_REGION_INDEX };
	struct vfio_region_info config = { .argsz = sizeof(config), .index = VFIO_PCI_CONFIG_REGION_INDEX };
	uint16_t command = 6; /* memory, bus master */
	int device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0");
	volatile uint8_t *registers;

	bench_check(device >= 0 && ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &bar) == 0 &&
		    ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &config) == 0, "the device");
	bench_check(pwrite(device, &command, 2, config.offset + 4) == 2, "bus mastering");
	registers = mmap(NULL, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED, device, bar.offset);
	bench_check(registers != MAP_FAILED, "registers");
	return registers;
}
#endif
