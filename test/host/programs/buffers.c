/*
 * Registers as the buffer of system calls: reads, writes, sends and receives in all their spellings, where the kernel copies
 * from and to a mapped BAR. Each line says what came of a call, and what the registers or the other side hold then.
 * Arguments: group number and device, which keeps what is stored to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "device.h"
#include "bar-text.h"

#define FIXED ((void *)0x100000000ULL)

static int ends[2], sockets[2], device;
static char text[65536];

static const char *arrived(int fd, long length)
{
	memset(text, 0, sizeof(text));
	if (length > 0)
		read(fd, text, length);
	return text;
}
static void caught(int signal)
{
}

int main(int argc, char **argv)
{
	struct vfio_region_info region;
	struct sigaction action = { .sa_handler = caught };
	struct itimerval soon = { .it_value.tv_usec = 20000 };
	struct iovec vector[3];
	char path[64], ram[16] = "0123456789abcde";
	int file, status;
	uint16_t command;
	uint8_t *fixed;
	long got;

	setvbuf(stdout, NULL, _IONBF, 0);
	if (argc < 3) {
		char *place = mmap((void *)strtoul(argv[1], NULL, 0), 4096, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		pipe(ends);
		say("the address in another program", write(ends[1], strcpy(place, "memory"), 6), "");
		return 0;
	}
	device = open_by_group(argv[1], argv[2], 0).device;
	region = bar0_of(device);
	bar = map_bar0(device);
	pipe(ends);
	socketpair(AF_UNIX, SOCK_STREAM, 0, sockets);
	file = memfd_create("file", 0);

	set(0, "registers and more");
	got = write(ends[1], (void *)bar, 9);
	say("write", got, arrived(ends[0], got));
	got = write(ends[1], (void *)(bar + 3), 11);
	say("write of odd bytes", got, arrived(ends[0], got));
	write(ends[1], "from a pipe", 11);
	got = read(ends[0], (void *)(bar + 64), 100);
	say("read", got, held(64, 13));
	say("pwrite", pwrite(file, (void *)bar, 9, 3), "");
	got = pread(file, (void *)(bar + 128), 100, 5);
	say("pread", got, held(128, 8));
	got = send(sockets[0], (void *)bar, 9, 0);
	say("send", got, arrived(sockets[1], got));
	got = sendto(sockets[0], (void *)(bar + 10), 8, 0, NULL, 0);
	say("sendto", got, arrived(sockets[1], got));
	write(sockets[1], "of a socket", 11);
	got = recv(sockets[0], (void *)(bar + 192), 2, MSG_PEEK);
	say("recv", got, held(192, 3));
	got = recvfrom(sockets[0], (void *)(bar + 192), 100, 0, NULL, NULL);
	say("recvfrom", got, held(192, 12));

	vector[0] = (struct iovec){ ram, 4 };
	vector[1] = (struct iovec){ (void *)bar, 9 };
	vector[2] = (struct iovec){ ram + 4, 4 };
	got = pwritev(file, vector, 3, 0);
	pread(file, text, got, 0);
	say("pwritev", got, text);
	vector[1].iov_base = (void *)(bar + 256);
	memset(ram, '-', 8);
	got = preadv(file, vector, 3, 1);
	say("preadv", got, held(256, 10));
	printf("and memory: %.8s\n", ram);
	vector[0] = (struct iovec){ (void *)bar, 4 };
	vector[1] = (struct iovec){ (void *)(bar + 4), 5 };
	got = pwritev2(file, vector, 2, 0, 0);
	pread(file, text, got, 0);
	say("pwritev2", got, text);

	/* What the kernel looks at first, and how a call ends. */
	say("nothing", write(ends[1], (void *)bar, 0), "");
	say("no descriptor", write(-1, (void *)bar, 4), "");
	say("to what is only read", write(ends[0], (void *)bar, 4), "");
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	say("nothing there", read(ends[0], (void *)bar, 4), "");
	fcntl(ends[0], F_SETFL, 0);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	say("interrupted", read(ends[0], (void *)bar, 4), "");
	if (fork() == 0) {
		usleep(20000);
		write(ends[1], "late", 4);
		_exit(0);
	}
	got = read(ends[0], (void *)(bar + 320), 4);
	say("waited for", got, held(320, 4));
	wait(&status);

	/* Ends of mappings. */
	got = pwrite(file, (void *)(bar + region.size - 4), 8, 0);
	say("beyond the end", got, "");
	say("all beyond", pwrite(file, (void *)(bar + region.size), 8, 0), "");
	say("more than at once", pwrite(file, (void *)bar, region.size, 0), "");
	fixed = mmap(FIXED, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, device, region.offset);
	say("at an address of its own", pwrite(file, fixed, 9, 0), "");
	say("read-only", pread(file, fixed, 9, 0), "");
	say("memory of a process", process_vm_readv(getpid(), &(struct iovec){ ram, 4 }, 1,
						     &(struct iovec){ (void *)bar, 4 }, 1, 0), "");
	pwrite(device, "itself", 6, region.offset + 512);
	got = pread(device, (void *)(bar + 384), 6, region.offset + 512);
	say("its own file", got, held(384, 6));

	/* A device that does not answer. */
	pread(device, &command, 2, CONFIG + 4);
	command &= ~2;
	pwrite(device, &command, 2, CONFIG + 4);
	say("decode off, write", write(ends[1], (void *)bar, 4), "");
	say("decode off, pread", pread(file, (void *)bar, 4, 0), "");
	command |= 2;
	pwrite(device, &command, 2, CONFIG + 4);

	if (fork() == 0) {
		got = write(ends[1], (void *)bar, 9);
		say("in a child", got, arrived(ends[0], got));
		snprintf(path, sizeof(path), "%p", bar);
		execl(argv[0], argv[0], path, NULL);
	}
	wait(&status);
	munmap((void *)bar, region.size);
	bar = mmap((void *)bar, region.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	set(0, "memory now");
	got = write(ends[1], (void *)bar, 10);
	say("another mapping in its place", got, arrived(ends[0], got));
	return 0;
}
