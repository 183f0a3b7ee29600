/* What the programs of this folder share: /dev/iommu and VFIO by their calls, with errnos as values. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* linux/iommufd.h, and what older headers of VFIO lack. */
#define IOMMU_DESTROY 0x3b80
#define IOMMU_IOAS_ALLOC 0x3b81
#define IOMMU_IOAS_MAP 0x3b85
#define IOMMU_IOAS_UNMAP 0x3b86
#define IOMMU_IOAS_MAP_FIXED_IOVA 1
#define IOMMU_IOAS_MAP_WRITEABLE 2
#define IOMMU_IOAS_MAP_READABLE 4
struct iommu_destroy {
	uint32_t size, id;
};
struct iommu_ioas_alloc {
	uint32_t size, flags, out_ioas_id;
};
struct iommu_ioas_map {
	uint32_t size, flags, ioas_id, __reserved;
	uint64_t user_va, length, iova;
};
struct iommu_ioas_unmap {
	uint32_t size, ioas_id;
	uint64_t iova, length;
};
#define BIND_IOMMUFD 0x3b76
#define ATTACH_IOMMUFD_PT 0x3b77
#define DETACH_IOMMUFD_PT 0x3b78
struct bind_iommufd {
	uint32_t argsz, flags;
	int32_t iommufd;
	uint32_t out_devid;
};
struct attach_iommufd_pt {
	uint32_t argsz, flags, pt_id;
};
struct detach_iommufd_pt {
	uint32_t argsz, flags;
};

#define PAGE 4096
#define BASE 0x100000UL
#define DEVICE "0000:00:04.0"

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* open(2) that a signal does not end. */
static int open_again(const char *path)
{
	int fd;

	do
		fd = open(path, O_RDWR);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		die(path);
	return fd;
}

static void *page(void)
{
	void *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("mmap");
	return memory;
}

/* 0, or an errno. */
static int ioas_alloc(int iommu, uint32_t *id)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };

	if (ioctl(iommu, IOMMU_IOAS_ALLOC, &alloc))
		return errno;
	*id = alloc.out_ioas_id;
	return 0;
}

static int ioas_map(int iommu, uint32_t ioas, uint64_t iova, void *memory)
{
	struct iommu_ioas_map map = { .size = sizeof(map),
				      .flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
					       IOMMU_IOAS_MAP_WRITEABLE,
				      .ioas_id = ioas,
				      .user_va = (uintptr_t)memory,
				      .length = PAGE,
				      .iova = iova };

	return ioctl(iommu, IOMMU_IOAS_MAP, &map) ? errno : 0;
}

static int ioas_unmap(int iommu, uint32_t ioas, uint64_t iova)
{
	struct iommu_ioas_unmap unmap = { .size = sizeof(unmap), .ioas_id = ioas, .iova = iova, .length = PAGE };

	return ioctl(iommu, IOMMU_IOAS_UNMAP, &unmap) ? errno : 0;
}

static int destroy(int iommu, uint32_t id)
{
	struct iommu_destroy command = { .size = sizeof(command), .id = id };

	return ioctl(iommu, IOMMU_DESTROY, &command) ? errno : 0;
}

/* A container of type1v2 with the group of the device in it. */
static int container_of_group(int *group)
{
	char link[PATH_MAX], path[64];
	int container = open_again("/dev/vfio/vfio");
	ssize_t length = readlink("/sys/bus/pci/devices/" DEVICE "/iommu_group", link, sizeof(link) - 1);

	if (length < 0)
		die("iommu_group");
	link[length] = 0;
	snprintf(path, sizeof(path), "/dev/vfio/%s", strrchr(link, '/') + 1);
	*group = open_again(path);
	if (ioctl(*group, VFIO_GROUP_SET_CONTAINER, &container))
		die("VFIO_GROUP_SET_CONTAINER");
	if (ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		die("VFIO_SET_IOMMU");
	return container;
}

static int type1_map(int container, uint64_t iova, void *memory)
{
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map),
						.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
						.vaddr = (uintptr_t)memory,
						.iova = iova,
						.size = PAGE };

	return ioctl(container, VFIO_IOMMU_MAP_DMA, &map) ? errno : 0;
}

/* Bytes that were unmapped; -1 and errno. */
static int64_t type1_unmap(int container, uint64_t iova)
{
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap), .iova = iova, .size = PAGE };

	return ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap) ? -1 : (int64_t)unmap.size;
}
