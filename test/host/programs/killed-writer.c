/*
 * A program that is killed while its write to sysfs waits for the user of a device: what it has begun goes on, and ends when the
 * device is let go of.
 * Arguments: device, the file of sysfs, what is written to it, and what is there until that has ended.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "device.h"

int main(int argc, char **argv)
{
	int device = open_by_cdev(argv[1], O_CLOEXEC), tries, status, fd;
	pid_t pid = fork();

	setvbuf(stdout, NULL, _IONBF, 0);
	if (pid == 0) {
		close_range(3, ~0U, 0); /* the device is its parent's */
		fd = open(argv[2], O_WRONLY);
		write(fd, argv[3], strlen(argv[3]));
		_exit(1);
	}
	usleep(200000);
	printf("waits: %d\n", waitpid(pid, &status, WNOHANG));
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	printf("killed by %d\n", WTERMSIG(status));
	usleep(100000); /* longer than softiommu needs to hear of it */
	printf("meanwhile: %d\n", access(argv[4], F_OK));
	close(device);
	for (tries = 0; tries < 100 && access(argv[4], F_OK) == 0; tries++)
		usleep(50000);
	printf("let go of: %d\n", access(argv[4], F_OK));
	return 0;
}
