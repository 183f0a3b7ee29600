/*
 * Registers as the buffer of calls that no filter knows by an address: vectors of reads, writes and messages, and registers that
 * the program has mapped at a place of its own. Arguments: group number and device, which keeps what is stored to it.
 */
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "device.h"
#include "bar-text.h"

#define FIXED ((void *)0x100000000ULL)

static int ends[2], stream[2], packets[2];
static char text[65536];

static const char *arrived(int fd)
{
	int error = errno;
	ssize_t got;

	memset(text, 0, sizeof(text));
	got = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
	if (got < 0 && errno == ENOTSOCK)
		got = read(fd, text, sizeof(text) - 1);
	errno = error;
	return text;
}
static struct iovec at(unsigned offset, size_t length)
{
	return (struct iovec){ (void *)(bar + offset), length };
}
static void caught(int signal)
{
	(void)signal;
}

static void vectors(char *ram)
{
	struct iovec three[3] = { { ram, 4 }, at(0, 9), { ram + 4, 4 } };
	long got = writev(ends[1], three, 3);

	say("writev", got, got < 0 ? "" : arrived(ends[0]));
	write(ends[1], "from a pipe", 11);
	three[1] = at(64, 5);
	got = readv(ends[0], three, 3);
	if (got < 0)
		arrived(ends[0]);
	say("readv", got, held(64, 6));
	printf("and memory: %.6s\n", ram);
	three[0] = at(0, 3);
	three[0].iov_len = -1;
	say("a negative length", writev(ends[1], three, 3), "");
	say("too many", writev(ends[1], three, 1025), "");
}
static void messages(char *ram)
{
	struct iovec two[2] = { { ram, 2 }, at(0, 9) }, into[2] = { at(128, 4), { ram, 8 } };
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct msghdr out = { .msg_iov = two, .msg_iovlen = 2 };
	struct msghdr in = { .msg_iov = into, .msg_iovlen = 2, .msg_control = control, .msg_controllen = sizeof(control) };
	long got;

	out.msg_control = control;
	out.msg_controllen = sizeof(control);
	*CMSG_FIRSTHDR(&out) = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	*(int *)CMSG_DATA(CMSG_FIRSTHDR(&out)) = ends[0];
	got = sendmsg(packets[0], &out, 0);
	if (got < 0) {
		int error = errno;
		two[1] = (struct iovec){ "registers", 9 };
		sendmsg(packets[0], &out, 0);
		errno = error;
	}
	say("sendmsg", got, "");
	memset(control, 0, sizeof(control));
	got = recvmsg(packets[1], &in, 0);
	say("recvmsg", got, held(128, 5));
	if (got >= 0)
		printf("and memory: %.7s, a descriptor: %d, flags %x\n", ram, *(int *)CMSG_DATA(CMSG_FIRSTHDR(&in)) > 2, in.msg_flags);
	while (recv(packets[1], text, sizeof(text), MSG_DONTWAIT) >= 0)
		;
	write(packets[0], "longer than it", 14);
	in.msg_iovlen = 1;
	in.msg_control = NULL;
	in.msg_controllen = 0;
	got = recvmsg(packets[1], &in, MSG_TRUNC);
	say("a part of it", got, held(128, 5));
	if (got >= 0)
		printf("cut: %d\n", (in.msg_flags & MSG_TRUNC) != 0);
}
static void several(char *ram)
{
	struct iovec first[2] = { { ram, 1 }, at(0, 3) }, second = at(3, 6), third = { "memory", 6 };
	struct mmsghdr all[3] = { { .msg_hdr = { .msg_iov = first, .msg_iovlen = 2 } },
				  { .msg_hdr = { .msg_iov = &second, .msg_iovlen = 1 } },
				  { .msg_hdr = { .msg_iov = &third, .msg_iovlen = 1 } } };
	struct timespec soon = { 1, 0 };
	long got = sendmmsg(packets[0], all, 3, 0);

	say("sendmmsg", got, "");
	if (got == 3)
		printf("lengths: %u %u %u\n", all[0].msg_len, all[1].msg_len, all[2].msg_len);
	while (got > 0 && got--)
		printf("  %s\n", arrived(packets[1]));
	write(packets[1], "one", 3);
	write(packets[1], "and two", 7);
	first[0] = at(192, 2);
	first[1] = (struct iovec){ ram, 4 };
	second = at(200, 16);
	got = recvmmsg(packets[0], all, 2, 0, &soon);
	say("recvmmsg", got, held(192, 16));
	if (got == 2)
		printf("lengths: %u %u, memory: %.1s\n", all[0].msg_len, all[1].msg_len, ram);
	while (recv(packets[0], text, sizeof(text), MSG_DONTWAIT) >= 0)
		;
}
static void ends_of_it(size_t size)
{
	struct itimerval soon = { .it_value.tv_usec = 20000 };
	struct sigaction action = { .sa_handler = caught };
	struct iovec one = at(0, 4);
	struct msghdr header = { .msg_iov = &one, .msg_iovlen = 1 };

	sigaction(SIGALRM, &action, NULL);
	say("nothing there", recvmsg(stream[0], &header, MSG_DONTWAIT), "");
	setitimer(ITIMER_REAL, &soon, NULL);
	say("interrupted", recvmsg(stream[0], &header, 0), "");
	say("no descriptor", sendmsg(-1, &header, 0), "");
	say("no socket", sendmsg(ends[1], &header, 0), "");
	one = at(size - 2, 8);
	say("beyond the end", sendmsg(stream[0], &header, MSG_DONTWAIT), "");
	say("no header", sendmsg(stream[0], (void *)8, MSG_DONTWAIT), "");
	header.msg_iovlen = 1025;
	say("too many", sendmsg(stream[0], &header, MSG_DONTWAIT), "");
}
static void plain(void)
{
	long got = write(ends[1], (void *)bar, 9);

	say("write", got, got < 0 ? "" : arrived(ends[0]));
	write(ends[1], "into it", 7);
	got = read(ends[0], (void *)(bar + 256), 100);
	if (got < 0)
		arrived(ends[0]);
	say("read", got, held(256, 8));
	got = send(stream[0], (void *)bar, 9, 0);
	say("send", got, got < 0 ? "" : arrived(stream[1]));
	write(stream[1], "of a socket", 11);
	got = recv(stream[0], (void *)(bar + 320), 100, 0);
	if (got < 0)
		arrived(stream[0]);
	say("recv", got, held(320, 12));
}

int main(int argc, char **argv)
{
	int device = argc < 3 ? -1 : open_by_group(argv[1], argv[2], 0).device, status;
	struct vfio_region_info region = bar0_of(device);
	char ram[16] = "0123456789abcde";

	setvbuf(stdout, NULL, _IONBF, 0);
	bar = map_bar0(device);
	pipe(ends);
	socketpair(AF_UNIX, SOCK_STREAM, 0, stream);
	socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets);
	set(0, "registers and more");
	vectors(ram);
	messages(ram);
	several(ram);
	ends_of_it(region.size);
	bar = mmap(FIXED, region.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, device, region.offset);
	printf("at a place of its own\n");
	if (fork() == 0) {
		plain();
		_exit(0);
	}
	wait(&status);
	return 0;
}
