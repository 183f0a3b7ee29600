/* Fault queues and event queues: every way to wait for them, read them, and answer. */
#include "doors.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/uio.h>

static struct faulty on;
static struct fault messages[8];

static void nonblocking(int fd, int yes)
{
	int flags = fcntl(fd, F_GETFL);
	fcntl(fd, F_SETFL, yes ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}
static const char *events_of(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN | POLLOUT | POLLRDNORM | POLLPRI };
	static char text[64];

	poll(&poll_fd, 1, 0);
	snprintf(text, sizeof(text), "%s%s%s%s%s", poll_fd.revents & POLLIN ? "IN " : "",
		 poll_fd.revents & POLLRDNORM ? "RDNORM " : "", poll_fd.revents & POLLOUT ? "OUT " : "",
		 poll_fd.revents & POLLPRI ? "PRI " : "", poll_fd.revents & ~(POLLIN | POLLRDNORM | POLLOUT) ? "?" : "");
	return text;
}
/* The groups of what was read. */
static const char *groups(long bytes)
{
	static char text[128];
	int at = 0;

	if (bytes < 0)
		return strerrorname_np(errno);
	at += sprintf(text, "%ld", bytes);
	for (int n = 0; n < bytes / (int)sizeof(*messages); n++)
		at += sprintf(text + at, " %u", messages[n].grpid);
	return text;
}
static void answer_all(int queue)
{
	struct response responses[8];
	long bytes;

	while ((bytes = read(queue, messages, sizeof(messages))) > 0) {
		int count = bytes / sizeof(*messages);
		for (int n = 0; n < count; n++)
			responses[n] = (struct response){ messages[n].cookie, 0 };
		write(queue, responses, count * sizeof(*responses));
	}
}
static void answer_last(uint32_t count)
{
	for (uint32_t n = 0; n < count; n++) {
		struct response response = { messages[n].cookie, 0 };
		write(on.queue, &response, sizeof(response));
	}
}

static void reads(void)
{
	char *edge = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec two[2] = { { messages, 40 }, { messages + 1, 40 } };

	munmap(edge + PAGE, PAGE);
	SAY("at the lowest number", "%d", on.queue == on.fd + 1);
	SAY("opened", "%d", (fcntl(on.queue, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == O_RDWR);
	SAY("close-on-exec", "%d", fcntl(on.queue, F_GETFD) == FD_CLOEXEC);
	SHOW("nothing to read", read(on.queue, messages, 40));
	nonblocking(on.queue, 1);
	SHOW("without blocking", read(on.queue, messages, 40));
	SAY("its flag", "%d", (fcntl(on.queue, F_GETFL) & O_NONBLOCK) != 0);
	nonblocking(on.queue, 0);
	SHOW("blocking again", read(on.queue, messages, 40));
	fault(&on, 1);
	SHOW("a part of a message", read(on.queue, messages, 39));
	SHOW("a message and a half", read(on.queue, messages, 60));
	SHOW("no byte", read(on.queue, messages, 0));
	SHOW("at an offset", pread(on.queue, messages, 40, 8));
	SHOW("a seek", lseek(on.queue, 0, SEEK_SET));
	SHOW("to a bad address", read(on.queue, (void *)8, 40));
	SHOW("to the edge of memory", read(on.queue, edge + PAGE - 20, 40));
	SAY("the fault is still there", "%s", groups(read(on.queue, messages, sizeof(messages))));
	answer_last(1);
	for (int n = 1; n <= 3; n++)
		fault(&on, n);
	SAY("two of three", "%s", groups(read(on.queue, messages, 80)));
	answer_last(2);
	SAY("the third", "%s", groups(read(on.queue, messages, 80)));
	answer_last(1);
	for (int n = 4; n <= 6; n++)
		fault(&on, n);
	SAY("two buffers", "%s", groups(readv(on.queue, two, 2)));
	answer_last(2);
	two[1].iov_len = 20;
	SAY("the second too short", "%s", groups(readv(on.queue, two, 2)));
	answer_last(1);
	fault(&on, 7);
	fault(&on, 8);
	two[0].iov_len = 20;
	SHOW("both too short", readv(on.queue, two, 2));
	two[0].iov_len = two[1].iov_len = 40;
	two[1].iov_base = (void *)8;
	SAY("the second nowhere", "%s", groups(readv(on.queue, two, 2)));
	answer_last(1);
	SAY("what it would have got", "%s", groups(read(on.queue, messages, 40)));
	answer_last(1);
	SHOW("no buffer", readv(on.queue, two, 0));
	SHOW("preadv2 at the position", preadv2(on.queue, two, 1, -1, 0));
	SHOW("with a flag", preadv2(on.queue, two, 1, -1, RWF_NOWAIT));
}

static void answers(void)
{
	struct response good[3] = { { 0 } }, bad = { 4711, 0 };
	struct iovec parts[2] = { { good, 8 }, { &bad, 8 } };
	int status;

	for (int n = 1; n <= 3; n++)
		fault(&on, n);
	read(on.queue, messages, 120);
	for (int n = 0; n < 3; n++)
		good[n].cookie = messages[n].cookie;
	SHOW("an unknown cookie", write(on.queue, &bad, 8));
	SHOW("a part of an answer", write(on.queue, good, 7));
	SHOW("nothing", write(on.queue, good, 0));
	SHOW("at an offset", pwrite(on.queue, good, 8, 8));
	SHOW("from a bad address", write(on.queue, (void *)8, 8));
	good[0].code = 9;
	SHOW("an unknown code", write(on.queue, good, 8));
	good[0].code = 0;
	if (fork() == 0) {
		SHOW("from a child", write(on.queue, good, 8));
		_exit(0);
	}
	wait(&status);
	SHOW("a second time", write(on.queue, good, 8));
	parts[0].iov_base = good + 1;
	SHOW("good and bad", writev(on.queue, parts, 2));
	good[1] = bad;
	good[0] = good[2];
	SHOW("good, bad and good", write(on.queue, good, 24));
	for (int n = 1; n <= 40; n++)
		fault(&on, n);
	{
		struct fault many[40];
		struct response all[40];

		SAY("forty at once", "%ld", read(on.queue, many, sizeof(many)) / sizeof(*many));
		for (int n = 0; n < 40; n++)
			all[n] = (struct response){ many[n].cookie, n & 1 };
		SHOW("and forty answers", write(on.queue, all, sizeof(all)));
	}
}

static void *later(void *arg)
{
	usleep(100000);
	fault(&on, (long)arg);
	return NULL;
}
static void waits(void)
{
	struct pollfd poll_fd = { .fd = on.queue, .events = POLLIN };
	struct timespec soon = { 0, 20000000 };
	struct timeval long_time = { 20, 0 };
	struct epoll_event what = { .events = EPOLLIN }, got;
	int level = epoll_create1(0), edge = epoll_create1(0), n;
	fd_set set, write_set;
	pthread_t thread;

	SAY("an empty queue", "%s", events_of(on.queue));
	fault(&on, 1);
	SAY("one with a fault", "%s", events_of(on.queue));
	answer_all(on.queue);
	SAY("one that was read", "%s", events_of(on.queue));
	SHOW("ppoll in vain", ppoll(&poll_fd, 1, &soon, NULL));
	pthread_create(&thread, NULL, later, (void *)2);
	SHOW("poll until a thread's fault", poll(&poll_fd, 1, 20000));
	pthread_join(thread, NULL);
	answer_all(on.queue);
	if (fork() == 0) {
		later((void *)3);
		_exit(0);
	}
	FD_ZERO(&set);
	FD_SET(on.queue, &set);
	write_set = set;
	n = select(on.queue + 1, &set, NULL, NULL, &long_time);
	SAY("select until a child's", "%d", n == 1 && FD_ISSET(on.queue, &set));
	wait(NULL);
	SHOW("ready for answers", select(on.queue + 1, NULL, &write_set, NULL, &long_time));
	epoll_ctl(level, EPOLL_CTL_ADD, on.queue, &what);
	SHOW("epoll", epoll_wait(level, &got, 1, 0));
	SHOW("and again", epoll_wait(level, &got, 1, 0));
	what.events = EPOLLIN | EPOLLET;
	epoll_ctl(edge, EPOLL_CTL_ADD, on.queue, &what);
	SHOW("edges", epoll_wait(edge, &got, 1, 0));
	SHOW("no new one", epoll_wait(edge, &got, 1, 0));
	fault(&on, 4);
	SHOW("a new fault, the old one unread", epoll_wait(edge, &got, 1, 0));
	read(on.queue, messages, 40);
	answer_last(1);
	SHOW("a read that leaves one", epoll_wait(edge, &got, 1, 0));
	SHOW("which the level shows", epoll_wait(level, &got, 1, 0));
	answer_all(on.queue);
	SHOW("no more", epoll_wait(level, &got, 1, 0));
	fault(&on, 5);
	attach(on.fd, on.stdev, on.ioas);
	SAY("dropped with its device", "%s", events_of(on.queue));
	attach(on.fd, on.stdev, on.nested);
	close(level);
	close(edge);
}

#define FAULTS 200
/* Shared by the readers, of which some are processes. */
static struct { int seen[FAULTS + 1], wrong; volatile int over; } *all;
static void *reader(void *arg)
{
	struct pollfd poll_fd = { .fd = (long)arg, .events = POLLIN };
	struct fault message;

	while (!all->over) {
		long bytes;

		poll(&poll_fd, 1, 50);
		bytes = read(poll_fd.fd, &message, sizeof(message));
		if (bytes == sizeof(message)) {
			struct response response = { message.cookie, 0 };

			__sync_fetch_and_add(&all->seen[message.grpid], 1);
			if (write(poll_fd.fd, &response, sizeof(response)) != sizeof(response))
				__sync_fetch_and_add(&all->wrong, 1);
		} else if (bytes != 0)
			__sync_fetch_and_add(&all->wrong, 1);
	}
	return NULL;
}
static void readers(void)
{
	int copy = dup(on.queue), once = 0;
	pthread_t threads[2];

	all = mmap(NULL, sizeof(*all), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int n = 0; n < 2; n++)
		if (fork() == 0) {
			reader((void *)(long)on.queue);
			_exit(0);
		}
	pthread_create(&threads[0], NULL, reader, (void *)(long)on.queue);
	pthread_create(&threads[1], NULL, reader, (void *)(long)copy);
	if (fork() == 0) {
		for (int n = 1; n <= FAULTS; n++)
			fault(&on, n);
		_exit(0);
	}
	for (int n = 0; n < 200 && !all->over; n++) {
		usleep(50000);
		once = 0;
		for (int group = 1; group <= FAULTS; group++)
			once += all->seen[group] == 1;
		all->over = once == FAULTS;
	}
	all->over = 1;
	for (int n = 0; n < 2; n++)
		pthread_join(threads[n], NULL);
	for (int n = 0; n < 3; n++)
		wait(NULL);
	SAY("of 200 faults of a child, read by one of two threads and two children", "%d", once);
	SAY("anything else", "%d", all->wrong);
	close(copy);
}

static void low_numbers(void)
{
	int low = dup2(on.queue, 7);

	fault(&on, 1);
	fault(&on, 2);
	SAY("ready", "%s", events_of(low));
	SHOW("a part of a message", read(low, messages, 39));
	SAY("one fault", "%s", groups(read(low, messages, 40)));
	answer_last(1);
	SAY("ready for the next", "%s", events_of(low));
	dup2(low, 0);
	SAY("read from standard input", "%s", groups(read(0, messages, 40)));
	messages[1].cookie = 0;
	SHOW("answered there", write(0, &(struct response){ messages[0].cookie, 0 }, 8));
	SAY("empty", "%s", events_of(low));
	SHOW("and read", read(low, messages, 40));
	close(0);
	close(low);
	open("/dev/null", O_RDONLY);
}

static void events(void)
{
	struct eventful from = eventful(2);
	struct { struct event e[4]; } got;
	uint32_t *word = (uint32_t *)&got;
	struct pollfd poll_fd = { .fd = from.queue, .events = POLLIN };
	struct epoll_event what = { .events = EPOLLIN | EPOLLET };
	int edge = epoll_create1(0), low = dup2(from.queue, 8);

	SAY("an empty event queue", "%s", events_of(from.queue));
	SHOW("nothing", read(from.queue, &got, 12));
	nonblocking(from.queue, 1);
	SHOW("without blocking", read(from.queue, &got, 12));
	nonblocking(from.queue, 0);
	SHOW("less than a header", read(from.queue, &got, 7));
	SHOW("a write", write(from.queue, &got, 8));
	SHOW("one by a low number", write(low, &got, 8));
	epoll_ctl(edge, EPOLL_CTL_ADD, low, &what);
	event(&from);
	SAY("with an event", "%s", events_of(from.queue));
	SHOW("an edge", epoll_wait(edge, &what, 1, 0));
	event(&from);
	SHOW("another", epoll_wait(edge, &what, 1, 0));
	SHOW("a header alone", read(low, &got, 8));
	SHOW("to a bad address", read(low, (void *)8, 12));
	SHOW("an event", read(low, &got, 20));
	SAY("it", "%u %u %#x", word[0], word[1], word[2]);
	event(&from);
	event(&from);
	SHOW("two and the loss", read(from.queue, &got, sizeof(got)));
	SAY("they", "%u %u %#x, %u %u %#x, %u %u", word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7]);
	SHOW("nothing more", poll(&poll_fd, 1, 0));
	if (fork() == 0) {
		usleep(100000);
		event(&from);
		_exit(0);
	}
	SHOW("poll until a child's", poll(&poll_fd, 1, 20000));
	wait(NULL);
	SHOW("it can be read", read(from.queue, &got, 12));
	close(edge);
	SHOW("destroyed while open", destroy(from.fd, from.queue_id));
	close(from.queue);
	SHOW("while its copy is", destroy(from.fd, from.queue_id));
	close(low);
	SHOW("when it is closed", destroy(from.fd, from.queue_id));
	close(from.fd);
}

int main(void)
{
	on = faulty();
	reads();
	answers();
	waits();
	readers();
	low_numbers();
	events();
	return 0;
}
