/* Queued signals, each with a value, while the program goes from one simulated directory to another: none may be lost or changed. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIGNALS = 300 };
static volatile sig_atomic_t received, sum, foreign;

static void on_signal(int number, siginfo_t *info, void *context) {
  received++;
  sum += info->si_value.sival_int;
  if (info->si_code != SI_QUEUE) foreign++;
}

int main(void) {
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigaction(SIGRTMIN, &action, NULL);
  pid_t parent = getpid(), child = fork();
  if (child == 0) {
    for (int value = 1; value <= SIGNALS; value++) {
      while (sigqueue(parent, SIGRTMIN, (union sigval){.sival_int = value})) usleep(100);
      usleep(300);
    }
    _exit(0);
  }
  int wrong = 0;
  for (int n = 0; waitpid(child, NULL, WNOHANG) == 0; n++)
    wrong += chdir(n % 2 ? "/dev/vfio" : "/sys/bus/pci/devices") != 0;
  if (wrong || foreign || received != SIGNALS || sum != SIGNALS * (SIGNALS + 1) / 2)
    printf("%d calls wrong, %d of %d signals, sum %d, %d of another kind\n", wrong, (int)received, SIGNALS, (int)sum, (int)foreign);
  else
    puts("every call 0, every signal once, each with its value");
  return 0;
}
