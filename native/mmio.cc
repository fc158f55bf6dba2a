// Register access: one volatile load or store of exactly the given width per call.
//
// May assume: this is the hot path. Everything is checked before the access, with as few calls into the engine as
// possible. An access may still fault, because a device can stop answering: SIGBUS. One handler for the process turns
// that into an exception for the thread that made the access. It is never removed, and the library is linked so that it
// is never unloaded, since it may outlive the worker that loaded it. A program that installs a SIGBUS handler of its own
// later (process.on('SIGBUS') does) takes this protection away.
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include <atomic>
#include <type_traits>

#include "arguments.h"

namespace {

// In a loaded library, ordinary thread-local storage may be allocated at first use, which a signal handler must not do.
#ifdef __GLIBC__
#define IN_STATIC_STORAGE __attribute__((tls_model("initial-exec")))
#else
#define IN_STATIC_STORAGE
#endif

// Where this thread goes on if the access it is making faults; null when it is making none.
IN_STATIC_STORAGE thread_local sigjmp_buf* landing = nullptr;

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

// What was written to memory before must be visible to the device before a register write tells it to look; what a
// register read tells must be true before memory is read after it. On x86 the processor keeps both orders itself.
inline void OrderBeforeWrite() {
#if defined(__aarch64__)
  asm volatile("dmb oshst" ::: "memory");
#elif defined(__x86_64__)
  asm volatile("" ::: "memory");
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}
inline void OrderAfterRead() {
#if defined(__aarch64__)
  asm volatile("dmb oshld" ::: "memory");
#elif defined(__x86_64__)
  asm volatile("" ::: "memory");
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

// Runs `access`; false if it faulted.
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

template <typename Word>
bool Load(const uint8_t* address, Word* value) {
  return Survives([=] {
    *value = *reinterpret_cast<const volatile Word*>(address);
    OrderAfterRead();
  });
}

template <typename Word>
bool Store(uint8_t* address, Word value) {
  return Survives([=] {
    OrderBeforeWrite();
    *reinterpret_cast<volatile Word*>(address) = value;
  });
}

// The checked place of an access, or null with an exception pending.
template <typename Word>
uint8_t* Locate(napi_env env, void* data, napi_value handle, napi_value position, int needed) {
  constexpr size_t width = sizeof(Word);
  Mapping* mapping = static_cast<Environment*>(data)->Find<Mapping>(env, handle);
  if (mapping == nullptr) {
    ThrowExpected(env, Wrong::type, "a mapping", "mapping", handle);
    return nullptr;
  }
  if (!mapping->open) {
    napi_throw_error(env, "ERR_VFIO_CLOSED", "The mapping is closed");
    return nullptr;
  }
  double offset = 0;
  const napi_status status = napi_get_value_double(env, position, &offset);
  const int64_t most = static_cast<int64_t>(mapping->length) - static_cast<int64_t>(width);
  if (status != napi_ok || !ToInteger(offset, 0, most) || static_cast<uint64_t>(offset) % width != 0) {
    char what[96];
    snprintf(what, sizeof(what), "a multiple of %zu from 0 to %lld", width, static_cast<long long>(most));
    ThrowExpected(env, status == napi_ok ? Wrong::range : Wrong::type, what, "offset", position);
    return nullptr;
  }
  if ((mapping->protection & needed) == 0) {
    napi_throw_range_error(env, nullptr, needed == PROT_READ ? "The mapping is not readable" : "The mapping is not writable");
    return nullptr;
  }
  return mapping->address + static_cast<uint64_t>(offset);
}

napi_value ThrowFault(napi_env env, napi_value position) {
  char offset[32];
  Describe(env, position, offset, sizeof(offset));
  char message[128];
  snprintf(message, sizeof(message), "The access at offset %s faulted: memory decode is off or the device is gone", offset);
  napi_throw_error(env, "ERR_VFIO_BUS_FAULT", message);
  return nullptr;
}

template <typename Word>
napi_value ReadWord(napi_env env, napi_callback_info info) {
  napi_value values[2];
  size_t count = 2;
  void* data = nullptr;
  napi_get_cb_info(env, info, &count, values, nullptr, &data);
  const uint8_t* address = Locate<Word>(env, data, values[0], values[1], PROT_READ);
  if (address == nullptr) return nullptr;
  Word value = 0;
  if (!Load<Word>(address, &value)) return ThrowFault(env, values[1]);
  napi_value result = nullptr;
  if constexpr (sizeof(Word) == 8) {
    napi_create_bigint_uint64(env, value, &result);
  } else {
    napi_create_uint32(env, value, &result);
  }
  return result;
}

template <typename Word>
napi_value WriteWord(napi_env env, napi_callback_info info) {
  napi_value values[3];
  size_t count = 3;
  void* data = nullptr;
  napi_get_cb_info(env, info, &count, values, nullptr, &data);
  uint8_t* address = Locate<Word>(env, data, values[0], values[1], PROT_WRITE);
  if (address == nullptr) return nullptr;
  Word value = 0;
  if constexpr (sizeof(Word) == 8) {
    bool lossless = false;
    if (napi_get_value_bigint_uint64(env, values[2], &value, &lossless) != napi_ok) {
      return ThrowExpected(env, Wrong::type, "a bigint", "value", values[2]);
    }
    if (!lossless) return ThrowExpected(env, Wrong::range, "an integer from 0 to 18446744073709551615", "value", values[2]);
  } else {
    constexpr int64_t most = (int64_t{1} << (8 * sizeof(Word))) - 1;
    double number = 0;
    const napi_status status = napi_get_value_double(env, values[2], &number);
    if (status != napi_ok || !ToInteger(number, 0, most)) {
      char what[64];
      snprintf(what, sizeof(what), "an integer from 0 to %lld", static_cast<long long>(most));
      return ThrowExpected(env, status == napi_ok ? Wrong::range : Wrong::type, what, "value", values[2]);
    }
    value = static_cast<Word>(number);
  }
  if (!Store<Word>(address, value)) return ThrowFault(env, values[1]);
  return nullptr;
}

}  // namespace

void CatchBusFaults() {
  static const bool installed = InstallHandler();
  static_cast<void>(installed);
}

napi_value MmioRead8(napi_env env, napi_callback_info info) { return ReadWord<uint8_t>(env, info); }
napi_value MmioRead16(napi_env env, napi_callback_info info) { return ReadWord<uint16_t>(env, info); }
napi_value MmioRead32(napi_env env, napi_callback_info info) { return ReadWord<uint32_t>(env, info); }
napi_value MmioRead64(napi_env env, napi_callback_info info) { return ReadWord<uint64_t>(env, info); }
napi_value MmioWrite8(napi_env env, napi_callback_info info) { return WriteWord<uint8_t>(env, info); }
napi_value MmioWrite16(napi_env env, napi_callback_info info) { return WriteWord<uint16_t>(env, info); }
napi_value MmioWrite32(napi_env env, napi_callback_info info) { return WriteWord<uint32_t>(env, info); }
napi_value MmioWrite64(napi_env env, napi_callback_info info) { return WriteWord<uint64_t>(env, info); }
