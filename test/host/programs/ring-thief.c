/*
 * With --pin=exact a thread has an io_uring of softiommu as a descriptor while it pins: another of its threads takes that, and
 * tries what it is good for.
 */
#include <errno.h>
#include <linux/io_uring.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "device.h"

#define MOST_TRIES 20000

static volatile int stolen = -1, over, place;

static void *steal(void *unused)
{
	char name[64], link[64];
	int fd;

	while (stolen < 0 && !over) {
		fd = fcntl(place, F_DUPFD, 200);
		if (fd < 0)
			continue;
		snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
		if (readlink(name, link, sizeof(link)) == 21 && !memcmp(link, "anon_inode:[io_uring]", 21))
			stolen = fd;
		else
			close(fd);
	}
	return NULL;
}

static void say(const char *what, long result)
{
	printf("%s: %s\n", what, result < 0 ? strerrorname_np(errno) : "done");
}

static long map(off_t what)
{
	return mmap(NULL, 64, PROT_READ | PROT_WRITE, MAP_SHARED, stolen, what) == MAP_FAILED ? -1 : 0;
}
static long registers(int what, void *arg, int count)
{
	return syscall(SYS_io_uring_register, stolen, what, arg, count);
}

int main(void)
{
	struct by_group of = open_by_group("0", "none", 0);
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vfio_iommu_type1_dma_map in = { sizeof(in), 3, (uintptr_t)page, 0x100000, 4096 };
	struct vfio_iommu_type1_dma_unmap out = { sizeof(out), 0, 0x100000, 4096 };
	struct io_uring_probe probe = { 0 };
	pthread_t thief;
	int tries, fd;

	fd = open("/dev/null", O_RDONLY); /* where the next descriptor will be */
	place = fd;
	close(fd);
	pthread_create(&thief, NULL, steal, NULL);
	for (tries = 0; stolen < 0 && tries < MOST_TRIES; tries++) {
		*page = 1;
		if (ioctl(of.container, VFIO_IOMMU_MAP_DMA, &in) || ioctl(of.container, VFIO_IOMMU_UNMAP_DMA, &out))
			return 1;
	}
	over = 1;
	pthread_join(thief, NULL);
	printf("stolen: %s\n", stolen < 0 ? "no" : "yes");
	if (stolen < 0)
		return 0;
	printf("its queues are mapped: %d %d %d\n", !map(IORING_OFF_SQ_RING), !map(IORING_OFF_CQ_RING), !map(IORING_OFF_SQES));
	printf("operations made: %ld\n", syscall(SYS_io_uring_enter, stolen, 1, 0, 0, NULL, 0));
	say("files", registers(IORING_REGISTER_FILES, &fd, 1));
	say("no buffers", registers(IORING_UNREGISTER_BUFFERS, NULL, 0));
	say("a probe", registers(IORING_REGISTER_PROBE, &probe, 0));
	/* A device goes on all the same. */
	ioctl(of.container, VFIO_IOMMU_MAP_DMA, &in);
	say("unmapped", ioctl(of.container, VFIO_IOMMU_UNMAP_DMA, &out));
	return 0;
}
