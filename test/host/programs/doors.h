/* What the programs of the doors share: structs of /dev/iommu and its selftest, as programs declare them; and reporting. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DESTROY = 0x3b80, IOAS_ALLOC, IOAS_MAP = 0x3b85, IOAS_UNMAP, HWPT_ALLOC = 0x3b89, FAULT_QUEUE_ALLOC = 0x3b8e,
       VIOMMU_ALLOC = 0x3b90, VDEVICE_ALLOC, VEVENTQ_ALLOC = 0x3b93, TEST_CMD = 0x3ba0 };
enum { MOCK_DOMAIN = 2, CREATE_ACCESS = 5, ACCESS_RW = 8, REPLACE = 10, TRIGGER_IOPF = 15, TRIGGER_VEVENT = 17 };
struct destroy { uint32_t size, id; };
struct ioas_alloc { uint32_t size, flags, out_id; };
struct ioas_map { uint32_t size, flags, ioas, resv; uint64_t va, length, iova; };
struct ioas_unmap { uint32_t size, ioas; uint64_t iova, length; };
struct hwpt_alloc { uint32_t size, flags, dev, pt, out_id, resv, type, length; uint64_t data; uint32_t fault, resv2; };
struct fault_alloc { uint32_t size, flags, out_id, out_fd; };
struct viommu_alloc { uint32_t size, flags, type, dev, hwpt, out_id, length, resv; uint64_t data; };
struct viommu_data { uint32_t in, out; uint64_t offset, length; };
struct vdevice_alloc { uint32_t size, viommu, dev, out_id; uint64_t virt_id; };
struct veventq_alloc { uint32_t size, flags, viommu, type, depth, out_id, out_fd, resv; };
struct test { uint32_t size, op, id, resv; union { uint32_t w[14]; uint64_t q[7]; }; };
struct fault { uint32_t flags, dev, pasid, grpid, perm, resv; uint64_t addr; uint32_t length, cookie; };
struct response { uint32_t cookie, code; };
struct event { uint32_t flags, sequence, virt_id; };
#define IOVA 0x1000000
#define PAGE 4096

static const char *name(long rc)
{
	static char text[4][24];
	static int turn;
	char *into = text[turn++ & 3];

	if (rc >= 0) {
		snprintf(into, 24, "%ld", rc);
		return into;
	}
	return strerrorname_np(errno);
}
#define SAY(what, format, ...) do { printf(what ": " format "\n", __VA_ARGS__); fflush(stdout); } while (0)
#define SHOW(what, call) SAY(what, "%s", name(call))

static int iommufd(void) { return open("/dev/iommu", O_RDWR); }
static long destroy(int fd, uint32_t id)
{
	struct destroy arg = { sizeof(arg), id };
	return ioctl(fd, DESTROY, &arg);
}
/* The new id, or -1. */
static long ioas_alloc(int fd)
{
	struct ioas_alloc arg = { sizeof(arg) };
	return ioctl(fd, IOAS_ALLOC, &arg) ? -1 : (long)arg.out_id;
}
static long map(int fd, uint32_t ioas, void *va, uint64_t length)
{
	struct ioas_map arg = { sizeof(arg), 7, ioas, 0, (uintptr_t)va, length, IOVA };
	return ioctl(fd, IOAS_MAP, &arg);
}
static long unmap(int fd, uint32_t ioas)
{
	struct ioas_unmap arg = { sizeof(arg), ioas, IOVA, PAGE };
	return ioctl(fd, IOAS_UNMAP, &arg) ? -1 : (long)arg.length;
}
static long test(int fd, uint32_t op, uint32_t id, struct test *arg)
{
	arg->size = sizeof(*arg);
	arg->op = op;
	arg->id = id;
	return ioctl(fd, TEST_CMD, arg);
}
static long access_read(int fd, int access, uint64_t iova, void *into, uint64_t length)
{
	struct test arg = { .q = { iova, length, (uintptr_t)into, 4 } };
	return test(fd, ACCESS_RW, access, &arg);
}
static long create_access(int fd, uint32_t ioas)
{
	struct test arg = { 0 };
	return test(fd, CREATE_ACCESS, ioas, &arg) ? -1 : (long)arg.w[0];
}

/* A mock device behind a nested table that reports faults to a queue. */
struct faulty { int fd, queue; uint32_t fault, stdev, dev, parent, ioas, nested; };
static uint32_t nest_parent(int fd, uint32_t dev, uint32_t ioas)
{
	struct hwpt_alloc arg = { .size = sizeof(arg), .flags = 1, .dev = dev, .pt = ioas };
	return ioctl(fd, HWPT_ALLOC, &arg) ? 0 : arg.out_id;
}
static uint32_t nested_on(int fd, uint32_t dev, uint32_t parent, uint32_t fault)
{
	static uint32_t iotlb = 0xbadbeef;
	struct hwpt_alloc arg = { .size = sizeof(arg), .flags = fault ? 4 : 0, .dev = dev, .pt = parent, .type = 0xdead,
				  .length = 4, .data = (uintptr_t)&iotlb, .fault = fault };
	return ioctl(fd, HWPT_ALLOC, &arg) ? 0 : arg.out_id;
}
static long attach(int fd, uint32_t stdev, uint32_t pt)
{
	struct test arg = { .w = { pt } };
	return test(fd, REPLACE, stdev, &arg);
}
static struct faulty faulty(void)
{
	struct faulty on = { .fd = iommufd() };
	struct fault_alloc queue = { sizeof(queue) };
	struct test mock = { 0 };

	on.ioas = ioas_alloc(on.fd);
	test(on.fd, MOCK_DOMAIN, on.ioas, &mock);
	on.stdev = mock.w[0];
	on.dev = mock.w[2];
	on.parent = nest_parent(on.fd, on.dev, on.ioas);
	ioctl(on.fd, FAULT_QUEUE_ALLOC, &queue);
	on.queue = queue.out_fd;
	on.fault = queue.out_id;
	on.nested = nested_on(on.fd, on.dev, on.parent, on.fault);
	if (attach(on.fd, on.stdev, on.nested))
		SHOW("no device that faults", -1);
	return on;
}
static long fault(const struct faulty *on, uint32_t grpid)
{
	struct test arg = { .w = { on->dev, 0, grpid, 1, 0x1000 * grpid } };
	return test(on->fd, TRIGGER_IOPF, 0, &arg);
}

/* A mock device of a vIOMMU with an event queue. */
struct eventful { int fd, queue; uint32_t viommu, queue_id, stdev, dev, nested; struct viommu_data data; };
static struct eventful eventful(uint32_t depth)
{
	struct eventful on = { .fd = iommufd(), .data = { .in = 0xabcd } };
	struct viommu_alloc viommu = { .size = sizeof(viommu), .type = 0xdeadbeef, .length = sizeof(on.data) };
	struct vdevice_alloc vdevice = { .size = sizeof(vdevice), .virt_id = 0x77 };
	struct veventq_alloc queue = { .size = sizeof(queue), .type = 0xbeefbeef, .depth = depth };
	struct test mock = { 0 };
	uint32_t ioas = ioas_alloc(on.fd);

	test(on.fd, MOCK_DOMAIN, ioas, &mock);
	on.stdev = mock.w[0];
	viommu.dev = vdevice.dev = on.dev = mock.w[2];
	viommu.hwpt = nest_parent(on.fd, on.dev, ioas);
	viommu.data = (uintptr_t)&on.data;
	ioctl(on.fd, VIOMMU_ALLOC, &viommu);
	on.viommu = vdevice.viommu = queue.viommu = viommu.out_id;
	ioctl(on.fd, VDEVICE_ALLOC, &vdevice);
	ioctl(on.fd, VEVENTQ_ALLOC, &queue);
	on.queue = queue.out_fd;
	on.queue_id = queue.out_id;
	on.nested = nested_on(on.fd, on.dev, on.viommu, 0);
	if (attach(on.fd, on.stdev, on.nested))
		SHOW("no device that reports", -1);
	return on;
}
static long event(const struct eventful *on)
{
	struct test arg = { .w = { on->dev } };
	return test(on->fd, TRIGGER_VEVENT, 0, &arg);
}

static void send_fds(int socket, const int *fds, int count)
{
	char byte = 0, control[CMSG_SPACE(8 * sizeof(int))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
				  .msg_controllen = CMSG_SPACE(count * sizeof(int)) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(header), fds, count * sizeof(int));
	sendmsg(socket, &message, 0);
}
static void receive_fds(int socket, int *fds, int count)
{
	char byte, control[CMSG_SPACE(8 * sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
				  .msg_controllen = sizeof(control) };

	recvmsg(socket, &message, 0);
	memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&message)), count * sizeof(int));
}
/* One process tells the other to go on. */
static void tell(int fd) { write(fd, "x", 1); }
static void await(int fd) { char byte; while (read(fd, &byte, 1) < 0 && errno == EINTR); }
static void *page(int shared)
{
	return mmap(NULL, PAGE, PROT_READ | PROT_WRITE, (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0);
}
