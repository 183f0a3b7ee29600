/*
 * Drives my-device through iommufd and VFIO, as on any Linux:
 *
 *   softiommu header > softiommu.h && cc -O2 -Wall -o my-device my-device.c
 */
#include <err.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "softiommu.h"

#define IOVA 0x100000 /* what the device calls our memory */

static int device, irq;
static volatile uint8_t *registers;

static void command(int fd, unsigned long request, void *arg, const char *what)
{
	if (ioctl(fd, request, arg))
		err(1, "%s", what);
}

/* The node of a device: /dev/vfio/devices/vfioN. */
static int open_device(const char *bdf)
{
	char path[256];
	glob_t found;
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev/vfio*", bdf);
	if (glob(path, 0, NULL, &found))
		errx(1, "%s is not bound to vfio-pci", bdf);
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", strrchr(found.gl_pathv[0], '/') + 1);
	fd = open(path, O_RDWR);
	if (fd < 0)
		err(1, "%s", path);
	globfree(&found);
	return fd;
}

/* Our memory, for the device at IOVA: an address space of the IOMMU with one mapping. */
static uint8_t *share_memory(size_t size)
{
	int iommu = open("/dev/iommu", O_RDWR);
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind), .iommufd = iommu };
	struct iommu_ioas_alloc ioas = { .size = sizeof(ioas) };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE,
		.user_va = (uintptr_t)memory,
		.length = size,
		.iova = IOVA,
	};

	command(device, VFIO_DEVICE_BIND_IOMMUFD, &bind, "bind");
	command(iommu, IOMMU_IOAS_ALLOC, &ioas, "a new address space");
	attach.pt_id = ioas.out_ioas_id;
	command(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach, "attach");
	map.ioas_id = ioas.out_ioas_id;
	command(iommu, IOMMU_IOAS_MAP, &map, "map");
	return memory;
}

static void switch_on(void)
{
	struct vfio_region_info bar = { .argsz = sizeof(bar), .index = VFIO_PCI_BAR0_REGION_INDEX };
	struct vfio_region_info config = { .argsz = sizeof(config), .index = VFIO_PCI_CONFIG_REGION_INDEX };
	char bytes[sizeof(struct vfio_irq_set) + sizeof(int)] = { 0 };
	struct vfio_irq_set *set = (void *)bytes;
	uint16_t bits = 0x6; /* memory decoding, bus mastering */

	command(device, VFIO_DEVICE_GET_REGION_INFO, &bar, "BAR 0");
	command(device, VFIO_DEVICE_GET_REGION_INFO, &config, "configuration space");
	if (pwrite(device, &bits, 2, config.offset + 4) != 2)
		err(1, "the command register");
	registers = mmap(NULL, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED, device, bar.offset);
	if (registers == MAP_FAILED)
		err(1, "mapping BAR 0");

	irq = eventfd(0, 0);
	set->argsz = sizeof(bytes);
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = VFIO_PCI_MSI_IRQ_INDEX;
	set->count = 1;
	memcpy(set->data, &irq, sizeof(irq));
	command(device, VFIO_DEVICE_SET_IRQS, set, "MSI");
}

static uint32_t fill(uint64_t address, uint8_t byte, uint32_t length)
{
	struct pollfd interrupt = { .fd = irq, .events = POLLIN };
	uint64_t count;

	*(volatile uint64_t *)(registers + 0x00) = address;
	*(volatile uint32_t *)(registers + 0x08) = byte;
	*(volatile uint32_t *)(registers + 0x0c) = length;
	if (poll(&interrupt, 1, 10000) != 1 || read(irq, &count, sizeof(count)) != sizeof(count))
		errx(1, "no interrupt");
	return *(volatile uint32_t *)(registers + 0x10);
}

int main(int argc, char **argv)
{
	uint8_t *memory;

	if (argc != 2)
		errx(1, "which device? DDDD:BB:DD.F");
	device = open_device(argv[1]);
	memory = share_memory(0x1000);
	switch_on();

	printf("status %u: ", fill(IOVA, 'x', 5));
	printf("%s\n", memory);
	printf("status %u where nothing is mapped\n", fill(0x900000, 'x', 5));
	return 0;
}
