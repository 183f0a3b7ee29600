/* Has a device open, and lets another thread unbind it, which waits for that; then it ends with 3. */
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BDF "0000:00:04.0"

static void *unbind(void *arg)
{
	int fd = open("/sys/bus/pci/drivers/vfio-pci/unbind", O_WRONLY);

	write(fd, BDF, strlen(BDF));
	return arg;
}
int main(void)
{
	int container = open("/dev/vfio/vfio", O_RDWR), group = open("/dev/vfio/0", O_RDWR);
	pthread_t thread;

	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) || ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) ||
	    ioctl(group, VFIO_GROUP_GET_DEVICE_FD, BDF) < 0)
		return 1;
	pthread_create(&thread, NULL, unbind, NULL);
	usleep(300000);
	return 3;
}
