// A system call, made again for as long as a signal interrupts it.
//
// May assume: nothing of JavaScript is touched, so that any thread may use it.
#pragma once

#include <cerrno>
#include <cstdint>

// The result of `call`, or -errno if it failed.
template <typename Call>
int64_t Retry(Call call) {
  int64_t result;
  do {
    result = call();
  } while (result == -1 && errno == EINTR);
  return result == -1 ? -errno : result;
}
