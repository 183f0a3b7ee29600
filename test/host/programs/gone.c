/*
 * A device that is removed (/sys/bus/pci/devices/…/remove) while its registers are mapped: they answer until its user has let
 * go of it, which the removal waits for. Then the device is gone.
 * Arguments: group number or "cdev", and device.
 */
#include <fcntl.h>
#include <glob.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* VFIO_DEVICE_BIND_IOMMUFD and its struct, which older headers lack */
#define BIND_IOMMUFD _IO(VFIO_TYPE, VFIO_BASE + 18)
struct bind {
	uint32_t argsz, flags;
	int32_t iommufd;
	uint32_t devid;
};

static int container = -1, group = -1;
static int of_group(const char *number, const char *name)
{
	char path[64];

	container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	snprintf(path, sizeof(path), "/dev/vfio/%s", number);
	group = open(path, O_RDWR | O_CLOEXEC);
	ioctl(group, VFIO_GROUP_SET_CONTAINER, &container);
	ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
	return ioctl(group, VFIO_GROUP_GET_DEVICE_FD, name);
}
static int of_cdev(const char *name)
{
	struct bind bind = { .argsz = sizeof(bind), .iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC) };
	char path[128];
	glob_t found;
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev/vfio*", name);
	if (glob(path, 0, NULL, &found))
		return -1;
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", strrchr(found.gl_pathv[0], '/') + 1);
	fd = open(path, O_RDWR | O_CLOEXEC);
	return ioctl(fd, BIND_IOMMUFD, &bind) ? -1 : fd;
}

int main(int argc, char **argv)
{
	struct vfio_region_info region = { .argsz = sizeof(region) };
	int go[2], device, status;
	volatile uint32_t *bar;
	char folder[128], path[160], byte;
	pid_t pid;

	setvbuf(stdout, NULL, _IONBF, 0);
	snprintf(folder, sizeof(folder), "/sys/bus/pci/devices/%s", argv[2]);
	pipe(go);
	pid = fork(); /* it has no copy of the device */
	if (pid == 0) {
		int fd;
		snprintf(path, sizeof(path), "%s/remove", folder);
		fd = open(path, O_WRONLY);
		read(go[0], &byte, 1);
		printf("removed: %zd\n", write(fd, "1", 1));
		_exit(0);
	}
	device = strcmp(argv[1], "cdev") ? of_group(argv[1], argv[2]) : of_cdev(argv[2]);
	if (device < 0 || ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &region))
		return 2;
	bar = mmap(NULL, region.size, PROT_READ | PROT_WRITE, MAP_SHARED, device, region.offset);
	if (bar == MAP_FAILED)
		return 3;
	*bar = 5;
	write(go[1], "x", 1);
	usleep(100000);
	printf("it waits: %d\n", waitpid(pid, &status, WNOHANG));
	printf("the register: %u\n", *bar);
	*bar = 6;
	close(device);
	close(group);
	close(container);
	usleep(50000);
	printf("a mapping is a user: %d, %u\n", waitpid(pid, &status, WNOHANG), *bar);
	munmap((void *)bar, region.size);
	waitpid(pid, &status, 0);
	printf("there: %d\n", access(folder, F_OK));
	return 0;
}
