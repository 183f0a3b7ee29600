/*
 * What a program sees when softiommu is out of descriptors: lowers softiommu's own soft limit to what it has open, and
 * gives it back. softiommu is the parent of the launcher, which is our parent.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define ATTRIBUTE "/sys/bus/pci/devices/0000:00:04.0/vendor"

static pid_t softiommu(void) {
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/%d/stat", getppid());
  FILE *stat = fopen(path, "r");
  size_t length = fread(text, 1, sizeof text - 1, stat);
  text[length] = 0;
  fclose(stat);
  return atoi(strrchr(text, ')') + 4);
}

/* `full`: to the lowest number that is free. No lower, for poll(2) takes no more entries than the limit. */
static void limit(int full) {
  struct rlimit limits;
  char path[64], link[64];
  int free = 0;
  do snprintf(path, sizeof path, "/proc/%d/fd/%d", softiommu(), free++);
  while (readlink(path, link, sizeof link) >= 0);
  if (prlimit(softiommu(), RLIMIT_NOFILE, NULL, &limits)) perror("prlimit");
  limits.rlim_cur = full ? free - 1 : limits.rlim_max;
  if (prlimit(softiommu(), RLIMIT_NOFILE, &limits, NULL)) perror("prlimit");
}

static void say(const char *what, int fd) {
  printf("%s %s\n", what, fd < 0 ? strerrorname_np(errno) : "ok");
  if (fd >= 0) close(fd);
}

static void child(void) {
  fflush(stdout);
  if (fork() == 0) {
    say("child", open("/dev/iommu", O_RDWR));
    exit(0);
  }
  wait(NULL);
}

static void look(void) {
  say("device", open("/dev/iommu", O_RDWR));
  /* Nobody else has it open then: what could not be given has been closed again. */
  say("group", open("/dev/vfio/0", O_RDWR));
  say("attribute", open(ATTRIBUTE, O_RDONLY));
  printf("host file %s\n", open("/etc/passwd", O_RDONLY) < 0 ? strerrorname_np(errno) : "ok");
  child();
}

int main(void) {
  look();
  limit(1);
  look();
  limit(0);
  look();
}
