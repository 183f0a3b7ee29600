/*
 * Pages of a userfaultfd as arguments of calls. Another thread fills them, and makes trapped calls before it does: whoever
 * waited for a page in the place of the caller would wait for ever.
 */
#include "device.h"
#include "doors.h"
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define PAGES 64
static char *area, content[PAGES][PAGE] __attribute__((aligned(PAGE)));
static int uffd, filled, used;

/* The next page, not there yet, and this in it when it comes. */
static void *slow(const void *bytes, size_t length)
{
	memcpy(content[used], bytes, length);
	return area + PAGE * used++;
}
static void *text(const char *path) { return slow(path, strlen(path) + 1); }

static void *fill(void *unused)
{
	struct uffd_msg message;
	struct stat stat_of;

	while (read(uffd, &message, sizeof(message)) == sizeof(message)) {
		uint64_t at = message.arg.pagefault.address & ~(uint64_t)(PAGE - 1);
		struct uffdio_copy copy = { .dst = at, .len = PAGE };

		if (message.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) {
			struct uffdio_writeprotect open_again = { { at, PAGE }, 0 };
			close(open("/dev/vfio/vfio", O_RDWR));
			ioctl(uffd, UFFDIO_WRITEPROTECT, &open_again);
			continue;
		}
		copy.src = (uintptr_t)content[(at - (uintptr_t)area) / PAGE];
		close(open("/dev/vfio/vfio", O_RDWR));
		stat("/sys/bus/pci", &stat_of);
		usleep(20000);
		__atomic_add_fetch(&filled, 1, __ATOMIC_SEQ_CST);
		ioctl(uffd, UFFDIO_COPY, &copy);
	}
	return NULL;
}

static int begin(int flags)
{
	struct uffdio_api api = { UFFD_API, UFFD_FEATURE_PAGEFAULT_FLAG_WP };
	struct uffdio_register all = { { 0, PAGES * PAGE }, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP };
	pthread_t filler;

	uffd = syscall(SYS_userfaultfd, O_CLOEXEC | flags);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api))
		return -1;
	area = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	all.range.start = (uintptr_t)area;
	if (ioctl(uffd, UFFDIO_REGISTER, &all))
		return -1;
	return pthread_create(&filler, NULL, fill, NULL);
}
static void protect(void *at)
{
	struct uffdio_writeprotect wp = { { (uintptr_t)at, PAGE }, UFFDIO_WRITEPROTECT_MODE_WP };
	ioctl(uffd, UFFDIO_WRITEPROTECT, &wp);
}

static void paths(void)
{
	struct stat *of = slow("", 1);
	char *half, *cwd;

	SHOW("a device opened", open(text("/dev/vfio/vfio"), O_RDWR) < 0 ? -1 : 0);
	SHOW("a host's file opened", open(text("/etc/hostname"), O_RDONLY) < 0 ? -1 : 0);
	SHOW("nothing opened", open(text("/dev/vfio/nothing"), O_RDONLY));
	SHOW("a stat", stat("/sys/bus/pci", of));
	SHOW("of a directory", S_ISDIR(of->st_mode));
	/* A path that begins in one page and ends in the next. */
	half = area + PAGE * used;
	memset(content[used], '/', PAGE);
	memcpy(content[used++] + PAGE - 4, "/sys", 4);
	text("/bus/pci");
	SHOW("a path in two pages", access(half + PAGE - 4, F_OK));
	SHOW("a directory entered", chdir(text("/sys/bus/pci")));
	cwd = getcwd(slow("", 1), PAGE);
	SAY("and its name", "%s", cwd ? cwd : "none");
	chdir("/");
}

static void structs(void)
{
	struct ioas_alloc alloc = { sizeof(alloc) }, *slow_alloc = slow(&alloc, sizeof(alloc));
	struct ioas_map *request;
	struct ioas_unmap unmap = { sizeof(unmap), 1, IOVA, 2 * PAGE }, *slow_unmap = slow(&unmap, sizeof(unmap));
	struct test mock = { .size = sizeof(mock), .op = MOCK_DOMAIN, .id = 1 };
	char *memory, back[16] = "";
	struct test store = { .q = { IOVA, 7, (uintptr_t)back, 5 } };
	int fd = iommufd(), access;

	SHOW("an IOAS", ioctl(fd, IOAS_ALLOC, slow_alloc));
	SAY("its number", "%u", slow_alloc->out_id);
	SHOW("a device on it", ioctl(fd, TEST_CMD, &mock));
	memory = slow("pinned", 7);
	slow(" pages", 7);
	SHOW("slow pages pinned", map(fd, 1, memory, 2 * PAGE));
	access = create_access(fd, 1);
	SHOW("read by a device", access_read(fd, access, IOVA, back, 7));
	SAY("which finds", "%s", back);
	protect(memory);
	SHOW("written where stores wait", test(fd, ACCESS_RW, access, &store));
	SHOW("into a slow page", access_read(fd, access, IOVA + PAGE, memory = slow("", 1), 7));
	SAY("which has", "%s", memory);
	close(access);
	SHOW("unmapped", ioctl(fd, IOAS_UNMAP, slow_unmap));
	SAY("bytes", "%lu", slow_unmap->length);
	protect(slow_alloc);
	SHOW("an IOAS, where stores wait", ioctl(fd, IOAS_ALLOC, slow_alloc));
	SAY("its number", "%u", slow_alloc->out_id);
	SHOW("the one after it", ioas_alloc(fd));
	close(fd);
}

/* Of SIGBUS in a program with registers, whose meaning softiommu keeps. */
static void signals(void)
{
	struct { void *handler; unsigned long flags; void *restorer; uint64_t mask; } ignore = { SIG_IGN }, *old = slow("", 1);
	volatile uint32_t *registers;

	registers = map_bar0(open_by_group("0", "0000:00:04.0", 0).device);
	SAY("a register", "%#x", registers[0]);
	SHOW("SIGBUS ignored", syscall(SYS_rt_sigaction, SIGBUS, slow(&ignore, sizeof(ignore)), old, 8));
	SAY("which was", "%p", old->handler);
	SAY("the register again", "%#x", registers[0]);
}

int main(int argc, char **argv)
{
	if (begin(argc > 1 ? UFFD_USER_MODE_ONLY : 0)) {
		SHOW("a userfaultfd", -1);
		return 0;
	}
	paths();
	structs();
	if (argc == 1)
		signals();
	SAY("pages filled", "%d of %d", filled, used);
	return 0;
}
