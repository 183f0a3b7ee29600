/* Eight threads at once: opens, ioctls, and loads and stores of mapped registers; then the same in a child. */
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

static volatile uint8_t *bar;

static void *work(void *arg)
{
	for (int i = 0; i < 50; i++) {
		int fd = open("/dev/vfio/vfio", O_RDWR);
		if (fd < 0 || ioctl(fd, VFIO_GET_API_VERSION) != 0)
			return strdup(strerrorname_np(errno));
		close(fd);
		if (*(volatile uint32_t *)bar != 0x010000ed)
			return "load";
		*(volatile uint32_t *)(bar + 4) = i;
	}
	return NULL;
}

static int all(void)
{
	pthread_t threads[8];
	void *result;
	int bad = 0;

	for (int i = 0; i < 8; i++)
		pthread_create(&threads[i], NULL, work, NULL);
	for (int i = 0; i < 8; i++) {
		pthread_join(threads[i], &result);
		if (result)
			printf("a thread failed: %s\n", (char *)result);
		bad |= result != NULL;
	}
	return bad;
}

int main(void)
{
	int container = open("/dev/vfio/vfio", O_RDWR), group = open("/dev/vfio/0", O_RDWR), device, status;
	struct vfio_region_info info = { .argsz = sizeof(info) };

	ioctl(group, VFIO_GROUP_SET_CONTAINER, &container);
	ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0");
	if (device < 0 || ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info))
		return 2;
	bar = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, device, info.offset);
	if (all())
		return 1;
	if (fork() == 0)
		{ int bad = all(); fflush(stdout); _exit(bad ? 1 : 42); };
	wait(&status);
	printf("child %d\n", WEXITSTATUS(status));
	return WEXITSTATUS(status) == 42 ? 0 : 1;
}
