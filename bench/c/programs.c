/*
 * Many programs that call at once. `programs COUNT`: so many processes make the same ioctl, each many times, beginning together;
 * it says what a call took of the time, all calls taken together: a line "COUNT NANOSECONDS". There is no baseline in C.
 */
#include <fcntl.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

#define CALLS 12800

static int group;

static void calls(int count, int begin)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	char byte;

	/* The end of file. */
	if (read(begin, &byte, 1) != 0)
		_exit(1);
	for (int n = 0; n < count; n++)
		if (ioctl(group, VFIO_GROUP_GET_STATUS, &status) != 0)
			_exit(1);
	_exit(0);
}
static double round_of(int count)
{
	int begin[2], status;
	double start;

	bench_check(pipe(begin) == 0, "a pipe");
	for (int n = 0; n < count; n++) {
		pid_t child = fork();

		bench_check(child >= 0, "fork");
		if (child == 0) {
			close(begin[1]);
			calls(CALLS / count, begin[0]);
		}
	}
	close(begin[0]);
	start = bench_now();
	close(begin[1]);
	for (int n = 0; n < count; n++)
		bench_check(wait(&status) > 0 && status == 0, "the calls");
	return (bench_now() - start) / CALLS;
}
int main(int argc, char **argv)
{
	if (argc < 2)
		return 0;
	group = open("/dev/vfio/0", O_RDWR);
	bench_check(group >= 0, "the group");
	round_of(1);
	for (int n = 1; n < argc; n++)
		printf("%s %.3f\n", argv[n], round_of(atoi(argv[n])));
	return 0;
}
