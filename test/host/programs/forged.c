/*
 * A program that calls memory of its own as softiommu calls a device file: it is the program's memory all the same. And one
 * that has no number left for a device. Arguments: group number and device.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "device.h"

static sigjmp_buf back;

static void said(const char *what, long result)
{
	printf("%s: %s\n", what, result < 0 ? strerrorname_np(errno) : "done");
}
static void onSigbus(int signal)
{
	(void)signal;
	siglongjmp(back, 1);
}
/* The name of the device file, where its registers are mapped. */
static int named(char *name)
{
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "r");
	int found = 0;

	while (!found && fgets(line, sizeof(line), maps))
		found = sscanf(line, "%*s %*s %*s %*s %*s /memfd:%248[^ ] (deleted)", name) == 1;
	fclose(maps);
	return found;
}
static void crowded(int group, const char *device)
{
	struct rlimit all, few;
	int lowest = dup(0);

	close(lowest);
	getrlimit(RLIMIT_NOFILE, &all);
	few = all;
	few.rlim_cur = lowest;
	setrlimit(RLIMIT_NOFILE, &few);
	said("no number is free", ioctl(group, VFIO_GROUP_GET_DEVICE_FD, device));
	setrlimit(RLIMIT_NOFILE, &all);
	said("one is", ioctl(group, VFIO_GROUP_GET_DEVICE_FD, device));
}

int main(int argc, char **argv)
{
	struct by_group of = open_by_group(argv[1], argv[2], 0);
	struct vfio_device_info info = { .argsz = sizeof(info) };
	volatile uint32_t *bar = map_bar0(of.device), *other;
	struct stat stat;
	char name[256], link[64], text[300];
	ssize_t length;
	int forged;

	setvbuf(stdout, NULL, _IONBF, 0);
	if (argc < 3 || !named(name))
		return 4;
	bar[0] = 5;
	forged = memfd_create(name, 0);
	said("the device", ioctl(of.device, VFIO_DEVICE_GET_INFO, &info));
	said("of its name", ioctl(forged, VFIO_DEVICE_GET_INFO, &info));
	printf("no region: %zd\n", pread(forged, text, 4, bar0_of(of.device).offset));
	snprintf(link, sizeof(link), "/proc/self/fd/%d", forged);
	length = readlink(link, text, sizeof(text));
	printf("as it was called: %d\n", length > 7 && !strncmp(text + 7, name, strlen(name)));
	signal(SIGBUS, onSigbus);
	other = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, forged, 0);
	if (sigsetjmp(back, 1) == 0) {
		other[0] = 6;
		printf("its memory has registers\n");
	} else
		printf("nothing is in it\n");
	ftruncate(forged, 4096);
	other[0] = 7;
	printf("its own: %u %d\n", other[0], fstat(forged, &stat) == 0 && stat.st_size == 4096);
	printf("the register: %u\n", bar[0]);
	crowded(of.group, argv[2]);
	return 0;
}
