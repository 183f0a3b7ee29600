/*
 * A device that is removed (/sys/bus/pci/devices/…/remove) while its registers are mapped: they answer until its user has let
 * go of it, which the removal waits for. Then the device is gone.
 * Arguments: group number or "cdev", and device.
 */
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "device.h"

int main(int argc, char **argv)
{
	struct by_group of = { -1, -1, -1 };
	struct vfio_region_info region;
	int go[2], status;
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
	if (strcmp(argv[1], "cdev"))
		of = open_by_group(argv[1], argv[2], O_CLOEXEC);
	else
		of.device = open_by_cdev(argv[2], O_CLOEXEC);
	region = bar0_of(of.device);
	bar = map_bar0(of.device);
	*bar = 5;
	write(go[1], "x", 1);
	usleep(100000);
	printf("it waits: %d\n", waitpid(pid, &status, WNOHANG));
	printf("the register: %u\n", *bar);
	*bar = 6;
	close(of.device);
	close(of.group);
	close(of.container);
	usleep(50000);
	printf("a mapping is a user: %d, %u\n", waitpid(pid, &status, WNOHANG), *bar);
	munmap((void *)bar, region.size);
	waitpid(pid, &status, 0);
	printf("there: %d\n", access(folder, F_OK));
	return 0;
}
