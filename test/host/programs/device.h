/*
 * The device of a program under test, opened by its group as drivers in user space do (vfio.md 1.15a), and its registers. The
 * program ends where there are none.
 */
#pragma once
#include <fcntl.h>
#include <glob.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

/* Where the configuration space is in a descriptor of a device. */
#define CONFIG ((uint64_t)VFIO_PCI_CONFIG_REGION_INDEX << 40)
/* VFIO_DEVICE_BIND_IOMMUFD, which older headers lack. */
#define DEVICE_BIND_IOMMUFD _IO(VFIO_TYPE, VFIO_BASE + 18)

/* Stays open with all three. */
struct by_group {
	int container, group, device;
};

/* The device is -1 where something of it failed; flags: of container and group, besides O_RDWR. */
static inline struct by_group open_by_group(const char *number, const char *name, int flags)
{
	struct by_group of;
	char path[64];

	snprintf(path, sizeof(path), "/dev/vfio/%s", number);
	of.container = open("/dev/vfio/vfio", O_RDWR | flags);
	of.group = open(path, O_RDWR | flags);
	ioctl(of.group, VFIO_GROUP_SET_CONTAINER, &of.container);
	ioctl(of.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
	of.device = ioctl(of.group, VFIO_GROUP_GET_DEVICE_FD, name);
	return of;
}
/* The device by its own node, bound to an iommufd; -1 where something of it failed. */
static inline int open_by_cdev(const char *name, int flags)
{
	struct {
		uint32_t argsz, flags;
		int32_t iommufd;
		uint32_t devid;
	} bind = { .argsz = sizeof(bind), .iommufd = open("/dev/iommu", O_RDWR | flags) };
	char path[128];
	glob_t found;
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev/vfio*", name);
	if (glob(path, 0, NULL, &found))
		return -1;
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", strrchr(found.gl_pathv[0], '/') + 1);
	fd = open(path, O_RDWR | flags);
	return ioctl(fd, DEVICE_BIND_IOMMUFD, &bind) ? -1 : fd;
}
static inline struct vfio_region_info bar0_of(int device)
{
	struct vfio_region_info region = { .argsz = sizeof(region), .index = VFIO_PCI_BAR0_REGION_INDEX };

	if (device < 0 || ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &region))
		exit(2);
	return region;
}
static inline void *map_bar0(int device)
{
	struct vfio_region_info region = bar0_of(device);
	void *bar = mmap(NULL, region.size, PROT_READ | PROT_WRITE, MAP_SHARED, device, region.offset);

	if (bar == MAP_FAILED)
		exit(3);
	return bar;
}
