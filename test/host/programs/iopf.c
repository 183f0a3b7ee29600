/*
 * A program that answers the page requests of its device (devices.md 8.2, iommufd.md 2.16), as libvfn's iopf: ats-testdev
 * asks for a page that is not there, the program reads that from its fault queue, maps it, and answers; by the device's own
 * address space and by that of a PASID. One line each.
 */
#include <poll.h>
#include <unistd.h>
#include "device.h"

enum { PAGE = 4096, RUN = 1, FROM_MEMORY = 2, PASID = 5, PASID_VALID = 1, LAST_PAGE = 2 };
enum { PERM_READ = 1, PERM_WRITE = 2, SUCCESS = 0, INVALID = 1 };
enum { IOVA = 0xfef00000, FILL = 0x42 };

#define IOMMU(nr) _IO(';', nr)

/* struct iommu_hwpt_pgfault */
struct fault {
	uint32_t flags, dev_id, pasid, grpid, perm, reserved;
	uint64_t addr;
	uint32_t length, cookie;
};
struct answer {
	uint32_t cookie, code;
};

static int iommufd, device;
static uint32_t devid;
static volatile uint32_t *bar;
static uint8_t *memory;

static void need(int ok, const char *what)
{
	if (ok)
		return;
	printf("%s: %m\n", what);
	exit(1);
}
static uint32_t ioas_alloc(void)
{
	struct { uint32_t size, flags, id; } ioas = { sizeof(ioas) };

	need(!ioctl(iommufd, IOMMU(0x81), &ioas), "IOAS_ALLOC");
	return ioas.id;
}
static void map(uint32_t ioas)
{
	struct {
		uint32_t size, flags, ioas, reserved;
		uint64_t user_va, length, iova;
	} map = { sizeof(map), 7, ioas, 0, (uintptr_t)memory, PAGE, IOVA };

	need(!ioctl(iommufd, IOMMU(0x85), &map), "IOAS_MAP");
}
static void unmap(uint32_t ioas)
{
	struct {
		uint32_t size, ioas;
		uint64_t iova, length;
	} unmap = { sizeof(unmap), ioas, IOVA, PAGE };

	need(!ioctl(iommufd, IOMMU(0x86), &unmap), "IOAS_UNMAP");
}
static int fault_queue(uint32_t *id)
{
	struct { uint32_t size, flags, id, fd; } queue = { sizeof(queue) };

	need(!ioctl(iommufd, IOMMU(0x8e), &queue), "FAULT_QUEUE_ALLOC");
	*id = queue.id;
	return queue.fd;
}
/* Of an address space, with page requests going to the queue; for PASIDs and for devices that have some. */
static uint32_t hwpt_alloc(uint32_t ioas, uint32_t fault_id)
{
	struct {
		uint32_t size, flags, dev_id, pt_id, id, reserved, data_type, data_len;
		uint64_t data;
		uint32_t fault_id, reserved2;
	} hwpt = { sizeof(hwpt), 1 << 2 | 1 << 3, devid, ioas, .fault_id = fault_id };

	need(!ioctl(iommufd, IOMMU(0x89), &hwpt), "HWPT_ALLOC");
	return hwpt.id;
}
static void attach(uint32_t hwpt, uint32_t pasid)
{
	struct { uint32_t argsz, flags, pt_id, pasid; } attach = { 16, pasid != 0, hwpt, pasid };

	need(!ioctl(device, _IO(VFIO_TYPE, VFIO_BASE + 19), &attach), "ATTACH_IOMMUFD_PT");
}
static void open_device(const char *name)
{
	struct { uint32_t argsz, flags; int32_t iommufd; uint32_t devid; } bind = { 16 };
	struct vfio_region_info config = { .argsz = sizeof(config), .index = VFIO_PCI_CONFIG_REGION_INDEX };
	char path[128];
	uint16_t command = 6;
	glob_t found;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev/vfio*", name);
	need(!glob(path, 0, NULL, &found), path);
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", strrchr(found.gl_pathv[0], '/') + 1);
	iommufd = bind.iommufd = open("/dev/iommu", O_RDWR);
	device = open(path, O_RDWR);
	need(!ioctl(device, DEVICE_BIND_IOMMUFD, &bind), "BIND_IOMMUFD");
	devid = bind.devid;
	bar = map_bar0(device);
	ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &config);
	need(pwrite(device, &command, 2, config.offset + 4) == 2, "bus mastering");
}
static void start(uint32_t command, uint32_t pasid)
{
	bar[0] = IOVA;
	bar[1] = 0;
	bar[4] = pasid ? 1u << 31 | pasid : 0;
	bar[2] = command | RUN;
}
static void finish(void)
{
	for (int n = 0; bar[2] & RUN; n++) {
		need(n < 3000, "the transfer ends");
		usleep(10000);
	}
}
/* The next page request, which the device waits with. */
static struct fault asked(int queue, uint32_t pasid, uint32_t perm)
{
	struct pollfd ready = { queue, POLLIN };
	struct fault fault = { 0 };

	need(poll(&ready, 1, 30000) == 1, "a page request");
	need(read(queue, &fault, sizeof(fault)) == sizeof(fault), "read");
	printf("asked for %#llx, perm %u", (unsigned long long)fault.addr, fault.perm);
	if (fault.flags & PASID_VALID)
		printf(", pasid %u", fault.pasid);
	printf("%s\n", bar[2] & RUN ? "" : ", and does not wait");
	need(fault.dev_id == devid && (fault.flags & LAST_PAGE), "a request of this device, and the last of its group");
	need((fault.flags & PASID_VALID ? fault.pasid : 0) == pasid && fault.perm == perm, "what was asked for");
	return fault;
}
static void respond(int queue, struct fault fault, uint32_t code)
{
	struct answer answer = { fault.cookie, code };

	need(write(queue, &answer, sizeof(answer)) == sizeof(answer), "write");
}
/* The page goes to the device and comes back; each time it is not there, and then mapped. */
static void round_trip(int queue, uint32_t ioas, uint32_t pasid)
{
	struct fault fault;
	int same = 1;

	memset(memory, FILL, PAGE);
	start(FROM_MEMORY, pasid);
	fault = asked(queue, pasid, PERM_READ);
	map(ioas);
	respond(queue, fault, SUCCESS);
	finish();
	unmap(ioas);
	memset(memory, 0, PAGE);
	start(0, pasid);
	fault = asked(queue, pasid, PERM_WRITE);
	map(ioas);
	respond(queue, fault, SUCCESS);
	finish();
	for (int n = 0; n < PAGE; n++)
		same &= memory[n] == FILL;
	printf("%s\n", same ? "the page came back" : "the page is another");
	unmap(ioas);
}

int main(int argc, char **argv)
{
	uint32_t own, spaces[2], fault_ids[2];
	int queues[2];

	memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	open_device(argv[1]);
	for (int n = 0; n < 2; n++) {
		spaces[n] = ioas_alloc();
		queues[n] = fault_queue(&fault_ids[n]);
		attach(hwpt_alloc(spaces[n], fault_ids[n]), n ? PASID : 0);
	}
	round_trip(queues[0], spaces[0], 0);
	round_trip(queues[1], spaces[1], PASID);

	/* Refused: the transfer ends, and nothing has moved. */
	memset(memory, 0, PAGE);
	start(0, PASID);
	respond(queues[1], asked(queues[1], PASID, PERM_WRITE), INVALID);
	finish();
	printf("refused: %s\n", memory[0] == 0 ? "nothing has moved" : "it was written");

	/* An answer to nothing is refused. */
	own = write(queues[0], &(struct answer){ 77, SUCCESS }, sizeof(struct answer));
	printf("an answer to nobody: %d\n", (int)own);

	/* Nobody answers: the device is closed in the middle. */
	start(0, 0);
	asked(queues[0], 0, PERM_WRITE);
	return 0;
}
