/* Signals while calls are made and while others wait: nothing runs twice, nothing is lost, nobody waits for ever. */
#include "doors.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/time.h>

static struct faulty on;
static volatile int handled;
static void handle(int signal) { handled++; }
static void handler(int flags)
{
	struct sigaction action = { .sa_handler = handle, .sa_flags = flags };
	sigaction(SIGALRM, &action, NULL);
}
static void every(int microseconds)
{
	struct itimerval timer = { { 0, microseconds }, { 0, microseconds } };
	setitimer(ITIMER_REAL, &timer, NULL);
}

static void interrupted(void)
{
	struct pollfd poll_fd = { .fd = on.queue, .events = POLLIN };
	struct epoll_event what = { .events = EPOLLIN };
	int epoll = epoll_create1(0), flags[2] = { 0, SA_RESTART };
	const char *how[2] = { "a handler", "one with SA_RESTART" };
	struct timespec long_time = { 20, 0 };
	sigset_t blocked, none;
	fd_set set;

	epoll_ctl(epoll, EPOLL_CTL_ADD, on.queue, &what);
	for (int n = 0; n < 2; n++) {
		handler(flags[n]);
		every(50000); /* Again and again: the first may come before the call. */
		SAY("ends poll", "%s, %s", how[n], name(poll(&poll_fd, 1, 20000)));
		SAY("epoll_wait", "%s, %s", how[n], name(epoll_wait(epoll, &what, 1, 20000)));
		FD_ZERO(&set);
		FD_SET(on.queue, &set);
		SAY("select", "%s, %s", how[n], name(select(on.queue + 1, &set, NULL, NULL, NULL)));
		every(0);
	}
	sigemptyset(&none);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGALRM);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	handled = 0;
	raise(SIGALRM);
	SHOW("a signal let through by ppoll alone", ppoll(&poll_fd, 1, &long_time, &none));
	SAY("handled", "%d", handled);
	sigprocmask(SIG_UNBLOCK, &blocked, NULL);
	close(epoll);
}

static void ended(void)
{
	struct pollfd poll_fd = { .fd = on.queue, .events = POLLIN };
	struct fault message;
	int signals[] = { SIGKILL, SIGTERM }, status;

	for (int n = 0; n < 2; n++) {
		pid_t child = fork();
		if (child == 0) {
			poll(&poll_fd, 1, -1);
			_exit(0);
		}
		usleep(50000);
		kill(child, signals[n]);
		waitpid(child, &status, 0);
		SAY("a waiting child ended by a signal", "%d", WIFSIGNALED(status));
	}
	fault(&on, 1);
	SHOW("the queue goes on", read(on.queue, &message, sizeof(message)));
	write(on.queue, &(struct response){ message.cookie, 0 }, 8);

	pid_t child = fork();
	if (child == 0) {
		poll(&poll_fd, 1, 20000);
		SHOW("a child that was stopped and continued reads", read(on.queue, &message, sizeof(message)));
		write(on.queue, &(struct response){ message.cookie, 0 }, 8);
		_exit(0);
	}
	usleep(50000);
	kill(child, SIGSTOP);
	waitpid(child, &status, WUNTRACED);
	SAY("stopped", "%d", WIFSTOPPED(status));
	fault(&on, 2);
	kill(child, SIGCONT);
	waitpid(child, &status, 0);
}

static void *waiter(void *arg)
{
	struct pollfd poll_fd = { .fd = on.queue, .events = POLLIN };
	struct fault message;

	for (;;) {
		poll(&poll_fd, 1, -1);
		read(on.queue, &message, sizeof(message));
	}
}
static void cancelled(void)
{
	struct pollfd poll_fd = { .fd = on.queue, .events = POLLIN };
	struct fault message;
	pthread_t thread;
	void *result;

	pthread_create(&thread, NULL, waiter, NULL);
	usleep(50000);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	SAY("a waiting thread can be cancelled", "%d", result == PTHREAD_CANCELED);
	fault(&on, 3);
	SHOW("another gets the fault", poll(&poll_fd, 1, 20000));
	SHOW("all of it", read(on.queue, &message, sizeof(message)));
	write(on.queue, &(struct response){ message.cookie, 0 }, 8);
}

/* Ids are given lowest first: a call that ran twice, or not at all though it said so, shows. */
static void storm(const char *how, int flags)
{
	int fd = iommufd(), right = 0, interrupted = 0, other = 0, next = 1;

	handler(flags);
	handled = 0;
	every(300);
	for (int n = 0; n < 1000; n++) {
		long id = ioas_alloc(fd);

		if (id == next) {
			right++;
			next++;
		} else if (id < 0 && errno == EINTR)
			interrupted++;
		else
			other++;
	}
	every(0);
	SAY("in a storm of signals", "%s, all of 1000 calls done or never begun: %d, anything else: %d, signals came: %d", how,
	    right + interrupted == 1000, other, handled > 20);
	if (flags & SA_RESTART)
		SAY("never begun", "%d", interrupted);
	SHOW("the next id is the next", ioas_alloc(fd) == next ? 0 : 1);
	close(fd);
}
static void queue_in_storm(void)
{
	struct fault message;
	int right = 0;

	handler(SA_RESTART);
	every(300);
	for (uint32_t n = 1; n <= 200; n++) {
		fault(&on, n);
		right += read(on.queue, &message, sizeof(message)) == sizeof(message) && message.grpid == n &&
			 write(on.queue, &(struct response){ message.cookie, 0 }, 8) == 8;
	}
	every(0);
	SAY("faults reported, read and answered in a storm", "%d", right);
	SHOW("and none left", read(on.queue, &message, sizeof(message)));
}

static volatile int stop;
static void *caller(void *arg)
{
	int fd = iommufd(), next = 1;

	while (!stop) {
		if (ioas_alloc(fd) != next++)
			return "wrong id";
		if (next > 500) {
			close(fd);
			fd = iommufd();
			next = 1;
		}
	}
	close(fd);
	return NULL;
}
/* Signals directed at threads of which each is in a call of its own. */
static void threads(void)
{
	pthread_t threads[4];
	void *result;
	int wrong = 0;

	handler(SA_RESTART);
	for (int n = 0; n < 4; n++)
		pthread_create(&threads[n], NULL, caller, NULL);
	for (int n = 0; n < 1000; n++) {
		pthread_kill(threads[n & 3], SIGALRM);
		usleep(500);
	}
	stop = 1;
	for (int n = 0; n < 4; n++) {
		pthread_join(threads[n], &result);
		wrong += result != NULL;
	}
	SAY("threads with a wrong id under signals of their own", "%d", wrong);
}

#define DRIVER "/sys/bus/pci/drivers/vfio-pci/"
#define BDF "0000:00:04.0"
static volatile int unbinding, unbinder;
static void *unbind(void *arg)
{
	unbinder = gettid();
	unbinding = 1;
	long rc = write(*(int *)arg, BDF, sizeof(BDF) - 1);
	unbinding = 2;
	return (void *)rc;
}
/* A thread that is in write(2), and not about to be. */
static int in_write(int tid)
{
	char name[64], text[64] = "";
	int fd;

	snprintf(name, sizeof(name), "/proc/self/task/%d/syscall", tid);
	fd = open(name, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0) {
		usleep(500000); /* no such file in this kernel: it will be by now */
		return 1;
	}
	close(fd);
	return strncmp(text, "1 ", 2) == 0;
}
/* The one call that sleeps: its file is closed, its thread gets signals, and it goes on. */
static void blocked(void)
{
	struct { uint32_t argsz, flags, fd, devid; } bind = { 16 };
	int device = open("/dev/vfio/devices/vfio0", O_RDWR), attribute = open(DRIVER "unbind", O_WRONLY);
	pthread_t thread;
	void *result;

	bind.fd = iommufd();
	SHOW("a device bound", ioctl(device, _IO(';', 118), &bind));
	handler(0);
	handled = 0;
	pthread_create(&thread, NULL, unbind, &attribute);
	while (unbinding == 0 || !in_write(unbinder))
		usleep(1000);
	destroy(bind.fd, 999); /* Answered after the write was seen. */
	close(attribute);
	for (int n = 0; n < 5; n++) {
		pthread_kill(thread, SIGALRM);
		usleep(30000);
	}
	SHOW("an ioctl meanwhile", ioas_alloc(bind.fd));
	SAY("an unbind whose file was closed and that got signals still waits", "%d", unbinding == 1);
	close(device);
	pthread_join(thread, &result);
	SAY("when the device is closed", "%ld", (long)result);
	SAY("and then the signals are handled", "%d", handled > 0);
	attribute = open(DRIVER "bind", O_WRONLY);
	SHOW("bound again", write(attribute, BDF, sizeof(BDF) - 1));
	close(attribute);
	close(bind.fd);
}

int main(void)
{
	on = faulty();
	interrupted();
	ended();
	cancelled();
	storm("handlers that restart", SA_RESTART);
	storm("handlers that do not", 0);
	queue_in_storm();
	threads();
	blocked();
	return 0;
}
