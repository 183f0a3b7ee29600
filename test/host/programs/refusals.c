/* Calls with bad arguments: each line is what the program saw. */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *name(int rc)
{
	static char text[16];
	if (rc >= 0) {
		snprintf(text, sizeof(text), "%d", rc);
		return text;
	}
	return strerrorname_np(errno);
}
#define SHOW(what, call) printf("%s: %s\n", what, name(call))

int main(void)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map), .flags = 3, .size = 4096 };
	int container = open("/dev/vfio/vfio", O_RDWR), group, copy, zero = open("/dev/zero", O_RDWR), dead;
	struct stat st;
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memcpy(page, &status, sizeof(status));
	mprotect(page, 4096, PROT_READ);
	SHOW("no such node", open("/dev/vfio/99", O_RDWR));
	SHOW("a node is no directory", open("/dev/vfio/vfio/x", O_RDWR));
	SHOW("exclusive creation of what is there", open("/dev/vfio/vfio", O_RDWR | O_CREAT | O_EXCL, 0600));
	SHOW("a directory opened for writing", open("/dev/vfio", O_RDWR));
	SHOW("a file made under a name with a slash", open("/dev/vfio/vfio/", O_RDWR | O_CREAT, 0600));
	SHOW("a directory made under one", open("/sys/bus/pci/", O_CREAT, 0600));
	SHOW("a directory to be made by open", open("/sys/bus/pci", O_CREAT | O_DIRECTORY, 0600));
	SHOW("a question with a fourth bit", syscall(SYS_access, "/dev/vfio/vfio", 8));
	SHOW("one about the file system's ids", syscall(SYS_faccessat2, AT_FDCWD, "/dev/vfio/vfio", R_OK, AT_EACCESS));
	SHOW("one with an unknown flag", syscall(SYS_faccessat2, AT_FDCWD, "/dev/vfio/vfio", R_OK, 0x8000));
	SHOW("a stat with an unknown flag", syscall(SYS_newfstatat, AT_FDCWD, "/dev/vfio/vfio", &st, 0x8000));
	SHOW("one that is to be synced and not", syscall(SYS_statx, AT_FDCWD, "/dev/vfio/vfio", 0x6000, 0, page));
	SHOW("one with a bit kept for later", syscall(SYS_statx, AT_FDCWD, "/dev/vfio/vfio", 0, 0x80000000, page));
	SHOW("a bad path pointer", open((char *)8, O_RDWR));
	SHOW("a write-only attribute read", open("/sys/bus/pci/drivers/vfio-pci/bind", O_RDONLY));
	SHOW("an attribute written that cannot be", open("/sys/bus/pci/devices/0000:00:04.0/vendor", O_WRONLY));
	group = open("/dev/vfio/0", O_RDWR);
	SHOW("a group opened twice", open("/dev/vfio/0", O_RDWR));
	SHOW("an unknown ioctl", ioctl(container, _IO(';', 255)));
	SHOW("a struct at a bad address", ioctl(group, VFIO_GROUP_GET_STATUS, 8));
	SHOW("a struct in read-only memory", ioctl(group, VFIO_GROUP_GET_STATUS, page));
	status.argsz = 4;
	SHOW("a struct too small", ioctl(group, VFIO_GROUP_GET_STATUS, &status));
	SHOW("a container that is no container", ioctl(group, VFIO_GROUP_SET_CONTAINER, &zero));
	dead = 777;
	SHOW("a container that is not open", ioctl(group, VFIO_GROUP_SET_CONTAINER, &dead));
	SHOW("an ioctl on a foreign file", ioctl(zero, VFIO_GET_API_VERSION));
	SHOW("an ioctl on a closed descriptor", ioctl(777, VFIO_GET_API_VERSION));
	SHOW("a read of a control file", pread(container, &status, 4, 0));
	SHOW("a mapping of a control file", mmap(NULL, 4096, 3, MAP_SHARED, container, 0) == MAP_FAILED ? -1 : 0);
	SHOW("a container set", ioctl(group, VFIO_GROUP_SET_CONTAINER, &container));
	SHOW("its IOMMU set", ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	map.vaddr = (unsigned long)page;
	SHOW("read-only memory mapped for writing", ioctl(container, VFIO_IOMMU_MAP_DMA, &map));
	map.vaddr = 4096;
	SHOW("nothing mapped", ioctl(container, VFIO_IOMMU_MAP_DMA, &map));
	SHOW("fstat", fstat(container, &st));
	printf("a character device: %d\n", S_ISCHR(st.st_mode));
	copy = dup(container);
	close(container);
	SHOW("a duplicate after the close of the first", ioctl(copy, VFIO_GET_API_VERSION));
	fflush(stdout);
	if (fork() == 0) {
		SHOW("the ioctl of a child", ioctl(copy, VFIO_GET_API_VERSION));
		return 0;
	}
	wait(NULL);
	close(group);
	group = open("/dev/vfio/0", O_RDWR);
	SHOW("a group opened again after its close", group < 0 ? group : 0);
	return 0;
}
