/* A reset is to make the device forget an address; it fails, and the next command writes to memory that was taken away. */
#include "iommu.h"

#define DMA_SOURCE 0x80
#define DMA_DESTINATION 0x88
#define DMA_COUNT 0x90
#define DMA_COMMAND 0x98
#define DMA_START_TO_MEMORY 3
#define EDU_BUFFER 0x40000
#define CONFIG ((uint64_t)VFIO_PCI_CONFIG_REGION_INDEX << 40)
/* The device takes 100 ms for a transfer. */
#define TRANSFER_US 250000

static int device;

static void write_all(const void *from, size_t length, uint64_t at)
{
	ssize_t rc;

	do
		rc = pwrite(device, from, length, at);
	while (rc < 0 && errno == EINTR);
	if (rc != (ssize_t)length)
		exit(1);
}

static void set(uint64_t reg, uint64_t value)
{
	write_all(&value, 8, reg);
}

int main(void)
{
	uint16_t command = 6;
	int group, container = container_of_group(&group);
	void *memory = page();

	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, DEVICE);
	if (device < 0)
		die("VFIO_GROUP_GET_DEVICE_FD");
	if (type1_map(container, BASE, memory))
		return 1;
	write_all(&command, 2, CONFIG + 4);
	set(DMA_SOURCE, EDU_BUFFER);
	set(DMA_DESTINATION, BASE);
	set(DMA_COUNT, PAGE);
	/* Another transfer is wanted after all. */
	if (ioctl(device, VFIO_DEVICE_RESET)) {
#ifdef FIXED
		return 1;
#endif
	}
	if (type1_unmap(container, BASE) != PAGE)
		return 1;
	/* Of no bytes, so short after a reset: a try whether the device is alive. */
	set(DMA_COMMAND, DMA_START_TO_MEMORY);
	usleep(TRANSFER_US);
	return 0;
}
