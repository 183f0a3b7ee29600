/*
 * Maps registers and ends. Arguments: group number and device; then "leak", to lose memory, or a command that is run before the
 * registers are touched again, with our number in it.
 */
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct vfio_region_info region = { .argsz = sizeof(region) };
	int container = open("/dev/vfio/vfio", O_RDWR), group, device;
	char text[256];
	volatile uint32_t *bar;

	setvbuf(stdout, NULL, _IONBF, 0);
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	snprintf(text, sizeof(text), "/dev/vfio/%s", argv[1]);
	group = open(text, O_RDWR);
	ioctl(group, VFIO_GROUP_SET_CONTAINER, &container);
	ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, argv[2]);
	if (device < 0 || ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &region))
		return 2;
	bar = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, device, region.offset);
	if (bar == MAP_FAILED)
		return 3;
	*bar = 5;
	if (argc > 3 && !strcmp(argv[3], "leak")) {
		*(char *volatile *)&argv[0] = malloc(1000);
		argv[0] = NULL;
	} else if (argc > 3) {
		snprintf(text, sizeof(text), argv[3], getpid());
		system(text);
	}
	printf("the register: %u\n", *bar);
	return 0;
}
