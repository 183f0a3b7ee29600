/* The edu device of the machine, for the programs beside this file: opened by its group, mapped, told to copy. */
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define READ VFIO_DMA_MAP_FLAG_READ
#define WRITE VFIO_DMA_MAP_FLAG_WRITE
#define PAGE 4096
#define IOVA 0x100000

struct edu {
	int container, group, device;
	volatile uint8_t *registers;
};

static inline struct edu edu_open(void)
{
	struct edu edu = { .container = open("/dev/vfio/vfio", O_RDWR), .group = open("/dev/vfio/0", O_RDWR) };
	struct vfio_region_info bar = { .argsz = sizeof(bar), .index = VFIO_PCI_BAR0_REGION_INDEX };
	struct vfio_region_info config = { .argsz = sizeof(config), .index = VFIO_PCI_CONFIG_REGION_INDEX };
	uint16_t command = 6; /* memory, bus master */

	if (ioctl(edu.group, VFIO_GROUP_SET_CONTAINER, &edu.container) ||
	    ioctl(edu.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		exit(70);
	edu.device = ioctl(edu.group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0");
	if (edu.device < 0 || ioctl(edu.device, VFIO_DEVICE_GET_REGION_INFO, &bar) ||
	    ioctl(edu.device, VFIO_DEVICE_GET_REGION_INFO, &config))
		exit(71);
	pwrite(edu.device, &command, sizeof(command), config.offset + 4);
	edu.registers = mmap(NULL, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED, edu.device, bar.offset);
	if (edu.registers == MAP_FAILED)
		exit(72);
	return edu;
}
static inline void *new_buffer(size_t size)
{
	void *buffer = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (buffer == MAP_FAILED)
		exit(73);
	return buffer;
}
/* As VFIO_IOMMU_MAP_DMA returns. */
static inline int edu_map(struct edu *edu, void *buffer, uint64_t iova, uint64_t size, int flags)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = flags, .vaddr = (uintptr_t)buffer, .iova = iova, .size = size,
	};

	return ioctl(edu->container, VFIO_IOMMU_MAP_DMA, &map);
}
/* The bytes that were unmapped. */
static inline uint64_t edu_unmap(struct edu *edu, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap), .iova = iova, .size = size };

	return ioctl(edu->container, VFIO_IOMMU_UNMAP_DMA, &unmap) ? 0 : unmap.size;
}
/* The device copies 64 bytes: from its buffer to memory, or the other way. */
static inline void edu_copy(struct edu *edu, uint64_t iova, int to_memory)
{
	const uint64_t own = 0x40000;

	*(volatile uint64_t *)(edu->registers + 0x80) = to_memory ? own : iova;
	*(volatile uint64_t *)(edu->registers + 0x88) = to_memory ? iova : own;
	*(volatile uint64_t *)(edu->registers + 0x90) = 64;
	*(volatile uint64_t *)(edu->registers + 0x98) = to_memory ? 3 : 1;
	while (*(volatile uint64_t *)(edu->registers + 0x98) & 1)
		usleep(1000);
}
