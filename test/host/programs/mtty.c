/*
 * A mediated device from its UUID to its end: made through sysfs, used by its group as a VMM uses it, taken away (vfio.md 1.16,
 * 6.4).
 */
#include "device.h"
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PARENT "/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-2"
#define UUID "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"

static const char *put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	const char *said = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? "done" : strerror(errno);

	close(fd);
	return said;
}
static void show(const char *path)
{
	char text[64] = "";
	FILE *file = fopen(path, "r");

	printf("%s: %s", strrchr(path, '/') + 1, file && fgets(text, sizeof(text), file) ? text : "nothing\n");
	if (file)
		fclose(file);
}
static unsigned load(int device, int at)
{
	uint8_t byte = 0;

	return pread(device, &byte, 1, at) == 1 ? byte : 0x100;
}
static void store(int device, int at, uint8_t byte)
{
	if (pwrite(device, &byte, 1, at) != 1)
		printf("store: %s\n", strerror(errno));
}

int main(void)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	struct {
		struct vfio_irq_set head;
		int32_t fd;
	} set = { { .argsz = sizeof(set), .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, .count = 1 } };
	char link[256], text[] = "hello";
	uint64_t count = 0;
	ssize_t length;

	setvbuf(stdout, NULL, _IOLBF, 0);
	show(PARENT "/name");
	printf("create: %s\n", put(PARENT "/create", UUID));
	printf("again: %s\n", put(PARENT "/create", UUID));
	show(PARENT "/available_instances");
	show("/sys/bus/mdev/devices/" UUID "/vendor/sample_mdev_dev");

	length = readlink("/sys/bus/mdev/devices/" UUID "/iommu_group", link, sizeof(link) - 1);
	link[length < 0 ? 0 : length] = '\0';
	struct by_group of = open_by_group(strrchr(link, '/') + 1, UUID, 0);
	printf("device: %d\n", of.device >= 0);
	printf("info: %d", ioctl(of.device, VFIO_DEVICE_GET_INFO, &info));
	printf(", flags %u, %u regions, %u interrupts\n", info.flags, info.num_regions, info.num_irqs);
	set.fd = eventfd(0, EFD_NONBLOCK);
	printf("interrupt: %d\n", ioctl(of.device, VFIO_DEVICE_SET_IRQS, &set));
	store(of.device, 2, 1);
	store(of.device, 1, 1);
	for (char *at = text; *at; at++)
		store(of.device, 0, *at);
	printf("signalled: %d", read(set.fd, &count, 8) == 8);
	printf(", %d time\n", (int)count);
	printf("line status: %x, ", load(of.device, 5));
	for (size_t n = 0; n < sizeof(text) - 1; n++)
		putchar(load(of.device, 0));
	printf(", %x\n", load(of.device, 5));
	printf("nothing to map: %d\n", mmap(NULL, 4096, PROT_READ, MAP_SHARED, of.device, 0) == MAP_FAILED ? errno : 0);
	close(of.device);
	printf("remove: %s\n", put("/sys/bus/mdev/devices/" UUID "/remove", "1"));
	printf("gone: %d\n", access("/sys/bus/mdev/devices/" UUID, F_OK));
	show(PARENT "/available_instances");
	return 0;
}
