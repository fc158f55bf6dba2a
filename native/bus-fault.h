// Survives an access that the bus refuses: SIGBUS, because a device can stop answering at any time.
//
// May assume: one handler for the process turns the signal into a failure for the thread that made the access. It is
// never removed, and the library is linked so that it is never unloaded, since it may outlive the worker that loaded it.
// A program that installs a SIGBUS handler of its own later (process.on('SIGBUS') does) takes this protection away.
#pragma once

#include <setjmp.h>

#include <atomic>

// In a loaded library, ordinary thread-local storage may be allocated at first use, which a signal handler must not do.
#ifdef __GLIBC__
#define IN_STATIC_STORAGE __attribute__((tls_model("initial-exec")))
#else
#define IN_STATIC_STORAGE
#endif

// Where this thread goes on if the access it is making faults; null when it is making none.
inline IN_STATIC_STORAGE thread_local sigjmp_buf* landing = nullptr;

// Makes a refused access a failure instead of the end of the process. Once per process; again is nothing.
void CatchBusFaults();

// Runs `access`; false if it faulted. Nothing is undone then: what `access` is to leave behind must be volatile.
template <typename Access>
inline bool Survives(Access access) {
  sigjmp_buf here;
  if (sigsetjmp(here, 0) != 0) {
    landing = nullptr;
    return false;
  }
  landing = &here;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  access();
  std::atomic_signal_fence(std::memory_order_seq_cst);
  landing = nullptr;
  return true;
}
