/*
 * DMA with QEMU's edu device, through VFIO's legacy path: container, group, type1.
 *
 * An ordinary VFIO program: it finds the device (1234:11e8, bound to vfio-pci) through sysfs, maps memory for DMA,
 * programs the device through its mapped registers, lets it copy data out of and back into this memory, takes its MSI
 * through an eventfd and checks the bytes. At the end the device is sent to an address that is not mapped.
 *
 *   cc -o edu-dma examples/edu-dma.c && softiommu run -- ./edu-dma
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define EDU_VENDOR 0x1234
#define EDU_DEVICE 0x11e8
#define EDU_IDENTITY 0x010000ed

/* Registers in BAR 0. */
#define REG_IDENTITY 0x00
#define REG_LIVENESS 0x04
#define REG_STATUS 0x24
#define REG_ACK 0x64
#define REG_DMA_SRC 0x80
#define REG_DMA_DST 0x88
#define REG_DMA_COUNT 0x90
#define REG_DMA_CMD 0x98
#define DMA_START 1
#define DMA_FROM_DEVICE 2
#define DMA_IRQ 4
/* The device's own 4 KiB of memory. */
#define EDU_BUFFER 0x40000

#define IOVA 0x100000
#define IOVA_UNMAPPED 0x900000
#define SIZE 4096

static void die(const char *what)
{
	fprintf(stderr, "edu-dma: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void check(int good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "edu-dma: %s\n", what);
	exit(1);
}

static unsigned long read_hex(const char *device, const char *attribute)
{
	char path[PATH_MAX], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", device, attribute);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		die(path);
	close(fd);
	return strtoul(text, NULL, 16);
}

static void find_device(char *name, size_t size)
{
	DIR *dir = opendir("/sys/bus/pci/devices");
	struct dirent *entry;

	if (!dir)
		die("/sys/bus/pci/devices");
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		if (read_hex(entry->d_name, "vendor") != EDU_VENDOR ||
		    read_hex(entry->d_name, "device") != EDU_DEVICE)
			continue;
		snprintf(name, size, "%s", entry->d_name);
		closedir(dir);
		return;
	}
	check(0, "there is no edu device (1234:11e8)");
}

static int group_of(const char *device)
{
	char path[PATH_MAX], target[PATH_MAX];
	ssize_t length;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", device);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		die(path);
	target[length] = '\0';
	return atoi(strrchr(target, '/') + 1);
}

static int open_device(const char *name, int *container)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	char path[64];
	int group, device;

	*container = open("/dev/vfio/vfio", O_RDWR);
	if (*container < 0)
		die("/dev/vfio/vfio");
	check(ioctl(*container, VFIO_GET_API_VERSION) == VFIO_API_VERSION, "unknown API version");
	check(ioctl(*container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU), "no type1v2 IOMMU");

	snprintf(path, sizeof(path), "/dev/vfio/%d", group_of(name));
	group = open(path, O_RDWR);
	if (group < 0)
		die(path);
	if (ioctl(group, VFIO_GROUP_GET_STATUS, &status))
		die("VFIO_GROUP_GET_STATUS");
	check(status.flags & VFIO_GROUP_FLAGS_VIABLE, "the group is not viable");
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, container))
		die("VFIO_GROUP_SET_CONTAINER");
	if (ioctl(*container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		die("VFIO_SET_IOMMU");
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, name);
	if (device < 0)
		die("VFIO_GROUP_GET_DEVICE_FD");
	printf("%s: group %d, device fd %d\n", name, group_of(name), device);
	return device;
}

static volatile uint8_t *map_registers(int device)
{
	struct vfio_region_info bar = { .argsz = sizeof(bar), .index = VFIO_PCI_BAR0_REGION_INDEX };
	void *registers;

	if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &bar))
		die("VFIO_DEVICE_GET_REGION_INFO");
	check(bar.flags & VFIO_REGION_INFO_FLAG_MMAP, "BAR 0 cannot be mapped");
	registers = mmap(NULL, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED, device, bar.offset);
	if (registers == MAP_FAILED)
		die("mmap of BAR 0");
	return registers;
}

static void enable_bus_master(int device)
{
	struct vfio_region_info config = { .argsz = sizeof(config),
					   .index = VFIO_PCI_CONFIG_REGION_INDEX };
	uint16_t command;

	if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &config))
		die("VFIO_DEVICE_GET_REGION_INFO");
	if (pread(device, &command, 2, config.offset + 4) != 2)
		die("reading the command register");
	command |= 0x6; /* memory space and bus master */
	if (pwrite(device, &command, 2, config.offset + 4) != 2)
		die("writing the command register");
}

static int enable_msi(int device)
{
	char bytes[sizeof(struct vfio_irq_set) + sizeof(int32_t)];
	struct vfio_irq_set *set = (void *)bytes;
	int32_t fd = eventfd(0, EFD_CLOEXEC);

	if (fd < 0)
		die("eventfd");
	set->argsz = sizeof(bytes);
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = VFIO_PCI_MSI_IRQ_INDEX;
	set->start = 0;
	set->count = 1;
	memcpy(set->data, &fd, sizeof(fd));
	if (ioctl(device, VFIO_DEVICE_SET_IRQS, set))
		die("VFIO_DEVICE_SET_IRQS");
	return fd;
}

static uint32_t get(volatile uint8_t *registers, int at)
{
	return *(volatile uint32_t *)(registers + at);
}

static void set32(volatile uint8_t *registers, int at, uint32_t value)
{
	*(volatile uint32_t *)(registers + at) = value;
}

static void set64(volatile uint8_t *registers, int at, uint64_t value)
{
	*(volatile uint64_t *)(registers + at) = value;
}

static void copy(volatile uint8_t *registers, int irq, uint64_t from, uint64_t to, uint32_t direction)
{
	struct pollfd interrupt = { .fd = irq, .events = POLLIN };
	uint64_t count;

	set64(registers, REG_DMA_SRC, from);
	set64(registers, REG_DMA_DST, to);
	set64(registers, REG_DMA_COUNT, SIZE);
	set32(registers, REG_DMA_CMD, DMA_START | direction | DMA_IRQ);
	check(poll(&interrupt, 1, 5000) == 1, "no interrupt came");
	if (read(irq, &count, sizeof(count)) != sizeof(count))
		die("eventfd");
	check(get(registers, REG_STATUS) & 0x100, "the interrupt status does not show the end of the DMA");
	set32(registers, REG_ACK, 0x100);
}

int main(void)
{
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map),
						.flags = VFIO_DMA_MAP_FLAG_READ |
							 VFIO_DMA_MAP_FLAG_WRITE,
						.iova = IOVA,
						.size = 2 * SIZE };
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap),
						    .iova = IOVA,
						    .size = 2 * SIZE };
	volatile uint8_t *registers;
	int container, device, irq;
	char name[256];
	uint8_t *memory;

	find_device(name, sizeof(name));
	device = open_device(name, &container);
	registers = map_registers(device);
	enable_bus_master(device);
	irq = enable_msi(device);

	check(get(registers, REG_IDENTITY) == EDU_IDENTITY, "this is not an edu device");
	set32(registers, REG_LIVENESS, 0x12345678);
	check(get(registers, REG_LIVENESS) == ~0x12345678u, "the device is not alive");
	printf("identity 0x%08x, alive\n", get(registers, REG_IDENTITY));

	memory = mmap(NULL, 2 * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	for (int i = 0; i < SIZE; i++)
		memory[i] = i * 7 + i / 256;
	map.vaddr = (uintptr_t)memory;
	if (ioctl(container, VFIO_IOMMU_MAP_DMA, &map))
		die("VFIO_IOMMU_MAP_DMA");

	copy(registers, irq, IOVA, EDU_BUFFER, 0);
	copy(registers, irq, EDU_BUFFER, IOVA + SIZE, DMA_FROM_DEVICE);
	check(memcmp(memory, memory + SIZE, SIZE) == 0, "the bytes that came back are different");
	printf("%d bytes went to the device and came back the same, each time with an interrupt\n", SIZE);

	copy(registers, irq, EDU_BUFFER, IOVA_UNMAPPED, DMA_FROM_DEVICE);
	printf("a DMA to 0x%x, which is not mapped, reached nothing\n", IOVA_UNMAPPED);

	if (ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap))
		die("VFIO_IOMMU_UNMAP_DMA");
	check(unmap.size == 2 * SIZE, "not all was unmapped");
	memset(memory + SIZE, 0, SIZE);
	copy(registers, irq, EDU_BUFFER, IOVA + SIZE, DMA_FROM_DEVICE);
	for (int i = 0; i < SIZE; i++)
		check(memory[SIZE + i] == 0, "the device still writes to memory that was unmapped");
	printf("after the unmap the device cannot write to the memory any more\n");
	return 0;
}
