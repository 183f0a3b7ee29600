/* Eight threads at once: opens, ioctls, and loads and stores of mapped registers; then the same in a child. */
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "device.h"

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
	int status;

	bar = map_bar0(open_by_group("0", "0000:00:04.0", 0).device);
	if (all())
		return 1;
	if (fork() == 0)
		{ int bad = all(); fflush(stdout); _exit(bad ? 1 : 42); };
	wait(&status);
	printf("child %d\n", WEXITSTATUS(status));
	return WEXITSTATUS(status) == 42 ? 0 : 1;
}
