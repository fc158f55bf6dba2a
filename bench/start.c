// Starts a command and prints the nanoseconds until it had printed, and until it had ended. A small program does it: to start
// another takes a large one, as a benchmark in Node is, some ten milliseconds, which are not the command's.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(int count, char** arguments) {
  int ends[2], status;
  if (count < 2 || pipe(ends) != 0) return 1;
  long long begin = now(), printed = begin;
  pid_t child = fork();
  if (child == 0) {
    int nothing = open("/dev/null", O_RDWR);
    dup2(nothing, 0);
    dup2(ends[1], 1);
    dup2(nothing, 2);
    close(ends[0]);
    close(ends[1]);
    execvp(arguments[1], arguments + 1);
    _exit(127);
  }
  close(ends[1]);
  char bytes[65536];
  while (read(ends[0], bytes, sizeof bytes) > 0) printed = now();
  if (waitpid(child, &status, 0) != child || status != 0) return 1;
  printf("%lld %lld\n", printed - begin, now() - begin);
  return 0;
}
