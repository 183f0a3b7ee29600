/* What programs do with descriptors: threads, children, SCM_RIGHTS, wrong kinds. Each line is what the program saw. */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "device.h"

#define UNBIND "/sys/bus/pci/drivers/vfio-pci/unbind"
#define BDF "0000:00:04.0"

static const char *name(long rc)
{
	static char text[16];
	if (rc >= 0) {
		snprintf(text, sizeof(text), "%ld", rc);
		return text;
	}
	return strerrorname_np(errno);
}
#define SHOW(what, call) do { printf("%s: %s\n", what, name(call)); fflush(stdout); } while (0)

static int shared, others;
static void *hammer(void *arg)
{
	for (int n = 0; n < 300; n++)
		if (ioctl(shared, VFIO_GET_API_VERSION) != 0 && errno != EBADF)
			others++;
	return NULL;
}
static void closed_in_use(void)
{
	pthread_t threads[2];

	for (int round = 0; round < 10; round++) {
		shared = open("/dev/vfio/vfio", O_RDWR);
		for (int n = 0; n < 2; n++)
			pthread_create(&threads[n], NULL, hammer, NULL);
		usleep(1000);
		close(shared);
		for (int n = 0; n < 2; n++)
			pthread_join(threads[n], NULL);
	}
	printf("anything but success and EBADF: %d\n", others);
}

static void pass(int socket, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	if (fd >= 0) {
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	} else
		message.msg_controllen = 0;
	sendmsg(socket, &message, 0);
}
static int receive(int socket)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
				  .msg_controllen = sizeof(control) };
	int fd = -1;

	recvmsg(socket, &message, 0);
	if (message.msg_controllen)
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}
static void passed_on(void)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	int ends[2], group;

	socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
	if (fork() == 0) {
		int theirs = receive(ends[1]);
		SHOW("an ioctl on a descriptor passed over a socket", ioctl(theirs, VFIO_GROUP_GET_STATUS, &status));
		pass(ends[1], -1);
		receive(ends[1]);
		_exit(0);
	}
	group = open("/dev/vfio/0", O_RDWR);
	pass(ends[0], group);
	receive(ends[0]);
	close(group);
	SHOW("the group while the other process has it", open("/dev/vfio/0", O_RDWR));
	pass(ends[0], -1);
	wait(NULL);
	group = open("/dev/vfio/0", O_RDWR);
	SHOW("the group when it has ended", group < 0 ? group : 0);
	close(group);
}

static volatile int handled;
static void handle(int signal) { handled++; }
static long unbind(void)
{
	int fd = open(UNBIND, O_WRONLY);
	long rc = write(fd, BDF, sizeof(BDF) - 1);
	int error = errno;
	close(fd);
	errno = error;
	return rc;
}
static void close_all(struct by_group of)
{
	close(of.device);
	close(of.group);
	close(of.container);
}
static void waiting(void)
{
	struct by_group of = open_by_group("0", BDF, 0);
	int status, set[2];
	struct sigaction action = { .sa_handler = handle };
	pid_t child;
	char byte;

	pipe(set);
	sigaction(SIGALRM, &action, NULL);
	child = fork();
	if (child == 0) {
		close_all(of);
		unbind();
		_exit(0);
	}
	usleep(200000);
	printf("an unbind of a device in use has ended: %d\n", waitpid(child, &status, WNOHANG) != 0);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	printf("a waiting unbind can be killed: %d\n", WIFSIGNALED(status));
	fflush(stdout);
	child = fork();
	if (child == 0) {
		close_all(of);
		ualarm(50000, 0);
		write(set[1], "", 1);
		SHOW("the unbind when the device is closed", unbind());
		printf("the handler of a signal meanwhile: %d\n", handled);
		fflush(stdout);
		_exit(0);
	}
	/* From here on the alarm is set, so it comes before the close, however slow the child is. */
	read(set[0], &byte, 1);
	usleep(200000);
	printf("an interrupted unbind has ended: %d\n", waitpid(child, &status, WNOHANG) != 0);
	kill(child, SIGSTOP);
	kill(child, SIGCONT);
	usleep(100000);
	printf("one that was stopped and continued has: %d\n", waitpid(child, &status, WNOHANG) != 0);
	fflush(stdout);
	close_all(of);
	waitpid(child, &status, 0);
	SHOW("the group of an unbound device", open("/dev/vfio/0", O_RDWR));
	int bind = open("/sys/bus/pci/drivers/vfio-pci/bind", O_WRONLY);
	SHOW("the bind", write(bind, BDF, sizeof(BDF) - 1));
}

static void wrong_kinds(void)
{
	struct by_group of = open_by_group("0", BDF, 0);
	int device = of.device;
	int event = eventfd(0, 0), ends[2], attribute = open("/sys/bus/pci/devices/" BDF "/vendor", O_RDONLY);
	int directory = open("/sys/bus/pci/devices", O_RDONLY | O_DIRECTORY);
	struct { struct vfio_irq_set set; int fd; } irq = {
		{ .argsz = 24, .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		  .index = VFIO_PCI_MSI_IRQ_INDEX, .start = 0, .count = 1 }, 0 };

	pipe(ends);
	SHOW("an eventfd takes no ioctl of VFIO", ioctl(event, VFIO_GET_API_VERSION));
	SHOW("an attribute takes none", ioctl(attribute, VFIO_GET_API_VERSION));
	SHOW("a directory takes none", ioctl(directory, VFIO_GET_API_VERSION));
	SHOW("an attribute mapped", mmap(NULL, 4096, PROT_READ, MAP_SHARED, attribute, 0) == MAP_FAILED ? -1 : 0);
	SHOW("an attribute mapped privately", mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, attribute, 0) == MAP_FAILED ? -1 : 0);
	irq.fd = ends[0];
	SHOW("a pipe is no eventfd", ioctl(device, VFIO_DEVICE_SET_IRQS, &irq));
	irq.fd = attribute;
	SHOW("an attribute is no eventfd", ioctl(device, VFIO_DEVICE_SET_IRQS, &irq));
	irq.fd = of.container;
	SHOW("a container is no eventfd", ioctl(device, VFIO_DEVICE_SET_IRQS, &irq));
	irq.fd = 888;
	SHOW("a closed descriptor is no eventfd", ioctl(device, VFIO_DEVICE_SET_IRQS, &irq));
	irq.fd = event;
	SHOW("an eventfd", ioctl(device, VFIO_DEVICE_SET_IRQS, &irq));
}

int main(void)
{
	closed_in_use();
	fflush(stdout);
	passed_on();
	waiting();
	wrong_kinds();
	return 0;
}
