/*
 * Trapped calls: what a program waits for an ioctl that a supervisor answers, and for a load of a register.
 *
 * Without an argument this is the baseline: C that does what softiommu does. For an ioctl it polls, receives, asks whether a
 * close came before, finds out which file the descriptor is, by its link and by its inode, reads the struct from the
 * program, writes it back, answers. For a load it waits for the stop, asks for its cause, what is mapped at the address,
 * the registers, the instruction, and whether SIGBUS still means to the program what it did; it sets the registers and lets
 * the thread go on. Besides it loads memory.
 * `trap client` is the program alone, to be run under softiommu: the same ioctl, before and after a BAR is mapped, loads of
 * a mapped register, the same by pread, and loads of a register that is memory.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/vfio.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

#define IOCTLS 5000
#define LOADS 2000
#define MEMORY_LOADS 1000000
#define SOURCE 0x1234
#define NOTIF_SET_FLAGS _IOW('!', 4, uint64_t)

static int group;
static volatile uint32_t *registers;

static uint64_t ioctls(void)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	uint64_t sum = 0;

	for (int n = 0; n < IOCTLS; n++) {
		status.flags = 0;
		sum += ioctl(group, VFIO_GROUP_GET_STATUS, &status) == 0 && (status.flags & 1);
	}
	return sum;
}
static void all_answered(uint64_t sum)
{
	bench_check(sum == IOCTLS, "an ioctl was not answered");
}

static uint64_t loads(void)
{
	uint64_t sum = 0;

	for (int n = 0; n < LOADS; n++)
		sum += registers[0] == 0x010000ed;
	return sum;
}
static void all_loaded(uint64_t sum)
{
	bench_check(sum == LOADS, "a register did not have its value");
}

/* Registers whose loads are those of memory: so many more in the same time. */
static uint64_t memory_loads(void)
{
	uint64_t sum = 0;

	for (int n = 0; n < MEMORY_LOADS; n++)
		sum += registers[0] == SOURCE;
	return sum;
}
static void all_of_memory(uint64_t sum)
{
	bench_check(sum == MEMORY_LOADS, "a register did not have its value");
}

static uint64_t register_at;
static int device;

static uint64_t reads(void)
{
	uint64_t sum = 0;
	uint32_t value = 0;

	for (int n = 0; n < LOADS; n++)
		sum += pread(device, &value, 4, register_at) == 4 && value == 0x010000ed;
	return sum;
}

/* BAR 0 of a device that is alone in a group. */
static void map_registers(int of, const char *name)
{
	struct vfio_region_info region = { .argsz = sizeof(region), .index = 0 };
	int container = open("/dev/vfio/vfio", O_RDWR);

	bench_check(container >= 0 && ioctl(of, VFIO_GROUP_SET_CONTAINER, &container) == 0, "container");
	bench_check(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0, "IOMMU");
	device = ioctl(of, VFIO_GROUP_GET_DEVICE_FD, name);
	bench_check(device >= 0 && ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &region) == 0, "BAR 0");
	register_at = region.offset;
	registers = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, device, region.offset);
	bench_check(registers != MAP_FAILED, "BAR 0 is mapped");
}
/* Under softiommu, which has the edu device in group 0 and dma-echo in group 1. */
static void client(void)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };

	group = open("/dev/vfio/0", O_RDWR);
	bench_check(group >= 0, "the device node is there");
	bench_check(ioctl(group, VFIO_GROUP_GET_STATUS, &status) == 0, "the group answers");
	bench("ioctl", IOCTLS, NULL, ioctls, all_answered);

	map_registers(group, "0000:00:04.0");
	bench("bar-load", LOADS, NULL, loads, all_loaded);
	bench("ioctl-mapped", IOCTLS, NULL, ioctls, all_answered);
	bench("bar-pread", LOADS, NULL, reads, all_loaded);
	map_registers(open("/dev/vfio/1", O_RDWR), "0000:00:05.0");
	registers[0] = SOURCE;
	bench("shadow-load", MEMORY_LOADS, NULL, memory_loads, all_of_memory);
}

#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
static struct sock_filter filter[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 4),
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
	BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff00),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ';' << 8, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
	ALLOW,
};

/* Closes of files of ours: none comes, but each call may be the first after one. */
static int closes;
static struct statx wanted_file;

static int is_ours(const char *path, const char *wanted)
{
	char link[256];
	struct statx file;
	ssize_t length = readlink(path, link, sizeof(link) - 1);

	link[length < 0 ? 0 : length] = 0;
	return strcmp(link, wanted) == 0 &&
	       statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_INO, &file) == 0 &&
	       file.stx_ino == wanted_file.stx_ino && file.stx_dev_major == wanted_file.stx_dev_major &&
	       file.stx_dev_minor == wanted_file.stx_dev_minor;
}

static void answer(int listener, char *wanted)
{
	struct seccomp_notif call = { 0 };
	struct seccomp_notif_resp reply = { 0 };
	char path[64];
	struct vfio_group_status status;
	struct iovec here = { &status, sizeof(status) }, there;
	struct pollfd closed = { closes, POLLIN };

	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call))
		return;
	snprintf(path, sizeof(path), "/proc/%u/fd/%d", call.pid, (int)call.data.args[0]);
	bench_check(poll(&closed, 1, 0) == 0, "nothing was closed");
	reply.id = call.id;
	there = (struct iovec){ (void *)call.data.args[2], sizeof(status) };
	if (!is_ours(path, wanted))
		reply.error = -ENOTTY;
	else if (process_vm_readv(call.pid, &here, 1, &there, 1, 0) != sizeof(status))
		reply.error = -EFAULT;
	/* What was read is the caller's if it still waits, and only then it is written to: its number may be another's. */
	else if (ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &call.id))
		return;
	else {
		status.flags = VFIO_GROUP_FLAGS_VIABLE;
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &call.id))
			return;
		if (process_vm_writev(call.pid, &here, 1, &there, 1, 0) != sizeof(status))
			reply.error = -EFAULT;
	}
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &reply);
}

static void baseline(void)
{
	struct sock_fprog program = { sizeof(filter) / sizeof(*filter), filter };
	int ready[2], go[2], listener, pidfd;
	char wanted[256] = { 0 }, path[64], byte = 0;
	struct pollfd wait[2] = { { .events = POLLIN }, { .events = POLLIN } };
	pid_t pid;

	bench_check(pipe(ready) == 0 && pipe(go) == 0, "pipes");
	pid = fork();
	if (pid == 0) {
		group = memfd_create("group", 0);
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		int own[2] = { syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
				       SECCOMP_FILTER_FLAG_NEW_LISTENER, &program), group };
		bench_check(write(ready[1], own, sizeof(own)) == sizeof(own), "handing over");
		bench_check(read(go[0], &byte, 1) == 1, "the supervisor is ready");
		close(own[0]);
		bench("ioctl", IOCTLS, NULL, ioctls, all_answered);
		_exit(0);
	}
	int theirs[2];
	bench_check(read(ready[0], theirs, sizeof(theirs)) == sizeof(theirs), "the program is ready");
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	listener = syscall(SYS_pidfd_getfd, pidfd, theirs[0], 0);
	bench_check(listener >= 0, "the listener is ours");
	ioctl(listener, NOTIF_SET_FLAGS, 1UL); /* SYNC_WAKE_UP, where the kernel has it */
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, theirs[1]);
	bench_check(readlink(path, wanted, sizeof(wanted) - 1) > 0, "the file has a name");
	bench_check(statx(AT_FDCWD, path, 0, STATX_INO, &wanted_file) == 0, "and an inode");
	closes = inotify_init1(IN_NONBLOCK);
	bench_check(closes >= 0 && inotify_add_watch(closes, path, IN_CLOSE) >= 0, "its close is watched");
	bench_check(write(go[1], &byte, 1) == 1, "go");
	wait[0].fd = listener;
	wait[1].fd = closes;
	while (poll(wait, 2, -1) > 0 && (wait[0].revents & POLLIN))
		answer(listener, wanted);
	waitpid(pid, NULL, 0);
}

/* struct procmap_query of linux/fs.h, since Linux 6.11. */
struct mapped {
	uint64_t size, flags, addr, start, end, vma_flags, page_size, offset, inode;
	uint32_t major, minor, name_size, build_id_size;
	uint64_t name, build_id;
};
#define MAPPED_QUERY _IOWR('f', 17, struct mapped)

/* What an access of the program has to be: on which file, and which instruction. */
static struct stat device_file;
static uint8_t known_code[15];
static int is_known;
#define IN(reg) offsetof(struct user_regs_struct, reg)
static const size_t targets[] = { IN(rax), IN(rcx), IN(rdx), IN(rbx), IN(rsp), IN(rbp), IN(rsi), IN(rdi) };

static int is_mapped(int maps, uint64_t address)
{
	char name[4096];
	struct mapped query = { .size = sizeof(query), .addr = address, .name_size = sizeof(name),
				.name = (uint64_t)name };

	return ioctl(maps, MAPPED_QUERY, &query) == 0 && query.inode == device_file.st_ino;
}
/* The meaning of SIGBUS is the kernel's to lose: field 34 of /proc/PID/stat has the signals with a handler. */
static int is_caught(int stat)
{
	char text[1024];
	ssize_t length = pread(stat, text, sizeof(text) - 1, 0);
	char *at;

	if (length <= 0)
		return 0;
	text[length] = 0;
	at = strrchr(text, ')');
	for (int field = 2; at && field < 34; field++)
		at = strchr(at + 1, ' ');
	return at && (strtoul(at, NULL, 10) >> (SIGBUS - 1) & 1);
}
static void carry_out(pid_t pid, int maps, int stat)
{
	siginfo_t cause;
	struct user_regs_struct regs;
	uint8_t code[15];
	struct iovec here = { code, sizeof(code) }, there;

	bench_check(ptrace(PTRACE_GETSIGINFO, pid, 0, &cause) == 0 && cause.si_code > 0, "a fault");
	bench_check(is_mapped(maps, (uint64_t)cause.si_addr), "of a register");
	bench_check(ptrace(PTRACE_GETREGS, pid, 0, &regs) == 0, "its registers");
	there = (struct iovec){ (void *)regs.rip, sizeof(code) };
	bench_check(process_vm_readv(pid, &here, 1, &there, 1, 0) == sizeof(code), "its instruction");
	/* mov r32, [r64]: 8b /r, and no other is decoded here. */
	if (!is_known)
		bench_check(code[0] == 0x8b && code[1] < 0x40 && (code[1] & 7) != 4 &&
			    (code[1] & 7) != 5 && (code[1] >> 3) != 4, "a plain load");
	else
		bench_check(memcmp(code, known_code, sizeof(code)) == 0, "the same again");
	memcpy(known_code, code, sizeof(code));
	is_known = 1;
	*(unsigned long long *)((char *)&regs + targets[code[1] >> 3]) = 0x010000ed;
	regs.rip += 2;
	bench_check(is_caught(stat), "SIGBUS is as it was");
	bench_check(ptrace(PTRACE_SETREGS, pid, 0, &regs) == 0, "its new registers");
	bench_check(ptrace(PTRACE_CONT, pid, 0, 0) == 0, "it goes on");
}
static void on_sigbus(int signal)
{
	_exit(signal);
}
static void tracer(void)
{
	int ready[2], go[2], file = memfd_create("registers", 0), maps, stat, status;
	char byte = 0, path[64];
	pid_t pid;

	bench_check(pipe(ready) == 0 && pipe(go) == 0 && fstat(file, &device_file) == 0, "pipes");
	pid = fork();
	if (pid == 0) {
		signal(SIGBUS, on_sigbus);
		registers = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
		bench_check(registers != MAP_FAILED && write(ready[1], &byte, 1) == 1, "mapped");
		bench_check(read(go[0], &byte, 1) == 1, "the tracer is ready");
		bench("bar-load", LOADS, NULL, loads, all_loaded);
		_exit(0);
	}
	bench_check(read(ready[0], &byte, 1) == 1, "the program is ready");
	bench_check(ptrace(PTRACE_SEIZE, pid, 0, 0) == 0, "traced");
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = open(path, O_RDONLY);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, pid);
	stat = open(path, O_RDONLY);
	bench_check(write(go[1], &byte, 1) == 1, "go");
	while (waitpid(-1, &status, __WALL) == pid && WIFSTOPPED(status)) {
		if (WSTOPSIG(status) == SIGBUS)
			carry_out(pid, maps, stat);
		else
			ptrace(PTRACE_CONT, pid, 0, WSTOPSIG(status));
	}
}

/* The same loads, of memory. */
static void memory(void)
{
	static uint32_t page[1024];

	page[0] = SOURCE;
	registers = page;
	bench("shadow-load", MEMORY_LOADS, NULL, memory_loads, all_of_memory);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "client") == 0)
		client();
	else {
		baseline();
		tracer();
		memory();
	}
	return 0;
}
