// The handler of SIGBUS.
//
// May assume only what a signal handler may: it touches this thread's landing and what was there before it.
#include "bus-fault.h"

#include <signal.h>

namespace {

struct sigaction previous;

void OnBusFault(int number, siginfo_t* details, void* context) {
  const bool sent = details->si_code <= 0;  // by a process, not by a fault
  if (landing != nullptr && !sent) siglongjmp(*landing, 1);
  if ((previous.sa_flags & SA_SIGINFO) != 0) {
    previous.sa_sigaction(number, details, context);
  } else if (previous.sa_handler == SIG_IGN && sent) {
    return;
  } else if (previous.sa_handler == SIG_DFL || previous.sa_handler == SIG_IGN) {
    // Returning repeats the access that faulted, and the process ends as if this handler had never been there.
    signal(number, SIG_DFL);
    if (sent) raise(number);
  } else {
    previous.sa_handler(number);
  }
}

bool InstallHandler() {
  struct sigaction action = {};
  action.sa_sigaction = OnBusFault;
  action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, nullptr, &previous);  // first, so that the handler never sees it unset
  return sigaction(SIGBUS, &action, nullptr) == 0;
}

}  // namespace

void CatchBusFaults() {
  static const bool installed = InstallHandler();
  static_cast<void>(installed);
}
