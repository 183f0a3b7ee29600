/*
 * An exec that somebody keeps: the interpreter of its script has a write lease, whose holder is asked first. Meanwhile another
 * thread of the process wants to be had by softiommu, by a way into the tree ("path") or by mapping registers ("registers"). The
 * holder makes calls of its own before it gives the lease back: they are answered before the exec goes on, unless softiommu
 * waited until the kernel broke the lease.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "device.h"

static char interpreter[64], script[64];
static int device;

static void *execute(void *unused)
{
	execl(script, script, NULL);
	return unused;
}
static void file(const char *name, const char *text)
{
	FILE *out = fopen(name, "w");

	fputs(text, out);
	fclose(out);
	chmod(name, 0755);
}
/* Its name is another one then. */
static int is_executed(pid_t pid)
{
	char path[64], name[16] = "";
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	in = fopen(path, "r");
	if (in && !fgets(name, sizeof(name), in))
		name[0] = 0;
	if (in)
		fclose(in);
	return strncmp(name, "held-exec", 9) != 0;
}
/* It ends when the exec succeeds, whatever the call was about. */
static void want(const char *what)
{
	if (!strcmp(what, "path"))
		chdir("/dev/vfio");
	else
		map_bar0(device);
	pause();
}

int main(int argc, char **argv)
{
	char line[80], folder[] = "/tmp/held-exec-XXXXXX";
	sigset_t asked;
	pthread_t thread;
	int lease, status, go[2];
	pid_t child;

	(void)argc;
	if (!strcmp(argv[1], "registers"))
		device = open_by_group("0", "0000:00:04.0", 0).device;
	mkdtemp(folder);
	snprintf(interpreter, sizeof(interpreter), "%s/interpreter", folder);
	snprintf(script, sizeof(script), "%s/script", folder);
	/* A script, whose interpreter runs nothing it is given. */
	file(interpreter, "#!/bin/true\n");
	snprintf(line, sizeof(line), "#!%s\n", interpreter);
	file(script, line);

	sigemptyset(&asked);
	sigaddset(&asked, SIGIO);
	sigprocmask(SIG_BLOCK, &asked, NULL);
	lease = open(interpreter, O_RDONLY | O_CLOEXEC);
	if (lease < 0 || fcntl(lease, F_SETLEASE, F_WRLCK) || pipe(go))
		return 77;
	child = fork();
	if (child == 0) {
		char byte;

		close(lease);
		pthread_create(&thread, NULL, execute, NULL);
		read(go[0], &byte, 1);
		want(argv[1]);
	}
	sigwaitinfo(&asked, NULL);
	write(go[1], "x", 1);
	for (int n = 0; n < 20; n++) {
		usleep(10000);
		if (access("/dev/vfio/vfio", F_OK))
			return 2;
	}
	puts(is_executed(child) ? "not before the kernel broke the lease" : "at once");
	fcntl(lease, F_SETLEASE, F_UNLCK);
	waitpid(child, &status, 0);
	printf("the new program ends with %d\n", status);
	unlink(interpreter);
	unlink(script);
	rmdir(folder);
	return 0;
}
