/*
 * A program that maps a page for a device in whichever way the kernel offers it: by cdev and iommufd, by group and container,
 * without an IOMMU by either.
 *
 *   cc -o any-backend examples/any-backend.c && softiommu matrix -- ./any-backend
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define IOVA 0x100000
#define PAGE 4096
#define DEVICE "0000:00:04.0"

#ifndef VFIO_DEVICE_BIND_IOMMUFD
#define VFIO_DEVICE_BIND_IOMMUFD _IO(VFIO_TYPE, VFIO_BASE + 18)
#define VFIO_DEVICE_ATTACH_IOMMUFD_PT _IO(VFIO_TYPE, VFIO_BASE + 19)
#endif
#define IOMMU_IOAS_ALLOC _IO(';', 0x81)
#define IOMMU_IOAS_MAP _IO(';', 0x85)

struct bind {
	uint32_t argsz, flags;
	int32_t iommufd;
	uint32_t out_devid;
};
struct attach {
	uint32_t argsz, flags, pt_id;
};
struct ioas_alloc {
	uint32_t size, flags, out_ioas_id;
};
struct ioas_map {
	uint32_t size, flags, ioas_id, reserved;
	uint64_t user_va, length, iova;
};

static void *memory;

/* The first name that a pattern matches, opened; -1: there is none. */
static int open_first(const char *pattern)
{
	glob_t found;
	int fd = -1;

	if (glob(pattern, 0, NULL, &found) == 0)
		fd = open(found.gl_pathv[0], O_RDWR);
	globfree(&found);
	return fd;
}

/* What was used, or NULL. */
static const char *by_cdev(void)
{
	int device = open_first("/dev/vfio/devices/*vfio*");
	int iommufd = device < 0 ? -1 : open("/dev/iommu", O_RDWR);
	struct bind bind = { sizeof(bind), 0, iommufd, 0 };
	struct ioas_alloc alloc = { sizeof(alloc), 0, 0 };

	if (iommufd < 0 || ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, &bind) < 0 ||
	    ioctl(iommufd, IOMMU_IOAS_ALLOC, &alloc) < 0)
		return NULL;
	struct attach attach = { sizeof(attach), 0, alloc.out_ioas_id };
	struct ioas_map map = { sizeof(map), 7, alloc.out_ioas_id, 0, (uintptr_t)memory, PAGE, IOVA };
	if (ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach) < 0 ||
	    ioctl(iommufd, IOMMU_IOAS_MAP, &map) < 0)
		return NULL;
	return "cdev";
}

static const char *by_group(const char *pattern, const int *types, const char *const *names)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory,
		.iova = IOVA,
		.size = PAGE,
	};
	int container = open("/dev/vfio/vfio", O_RDWR);
	int group = container < 0 ? -1 : open_first(pattern);

	if (group < 0 || ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) < 0)
		return NULL;
	for (; *types; types++, names++) {
		if (ioctl(container, VFIO_CHECK_EXTENSION, *types) != 1 ||
		    ioctl(container, VFIO_SET_IOMMU, *types) < 0)
			continue;
		if (ioctl(group, VFIO_GROUP_GET_DEVICE_FD, DEVICE) < 0)
			return NULL;
		/* Without an IOMMU there is nothing to map. */
		if (*types != VFIO_NOIOMMU_IOMMU && ioctl(container, VFIO_IOMMU_MAP_DMA, &map) < 0)
			return NULL;
		return *names;
	}
	return NULL;
}

int main(void)
{
	static const int iommu[] = { VFIO_TYPE1v2_IOMMU, VFIO_TYPE1_IOMMU, 0 };
	static const char *const iommu_names[] = { "type1v2", "type1" };
	static const int none[] = { VFIO_NOIOMMU_IOMMU, 0 };
	static const char *const none_names[] = { "group without an IOMMU" };
	const char *used;

	memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return 2;
	used = by_cdev();
	if (!used)
		used = by_group("/dev/vfio/[0-9]*", iommu, iommu_names);
	if (!used)
		used = by_group("/dev/vfio/noiommu-*", none, none_names);
	if (!used) {
		fprintf(stderr, "any-backend: no way to a device: %s\n", strerror(errno));
		return 1;
	}
	printf("mapped by %s\n", used);
	return 0;
}
