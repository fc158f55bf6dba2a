// ioctl on a thread of the pool, so that one that takes long does not hold up the event loop.
//
// May assume: Run touches nothing of JavaScript and nothing that the environment's thread touches meanwhile. It works on
// a copy of the struct and on duplicates of the files, whatever becomes of the caller's.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "arguments.h"
#include "retry.h"

namespace {

struct AsyncIoctl {
  napi_async_work work = nullptr;
  napi_deferred deferred = nullptr;
  napi_ref argument = nullptr;  // the caller's struct
  std::vector<uint8_t> bytes;   // the copy that the kernel is given
  int fd = -1;
  int holding = -1;
  unsigned long request = 0;
  int64_t result = -ECANCELED;
};

void CloseFiles(AsyncIoctl* call) {
  close(call->fd);
  if (call->holding != -1) close(call->holding);
}

void Run(napi_env, void* data) {
  AsyncIoctl* call = static_cast<AsyncIoctl*>(data);
  void* argument = call->bytes.empty() ? nullptr : call->bytes.data();
  call->result = Retry([&] { return ioctl(call->fd, call->request, argument); });
  // Here: if the caller's are closed by now, what ends with the files may take long as well.
  CloseFiles(call);
}

void Finish(napi_env env, napi_status status, void* data) {
  AsyncIoctl* call = static_cast<AsyncIoctl*>(data);
  if (status != napi_ok) CloseFiles(call);
  napi_value argument = nullptr;
  void* bytes = nullptr;
  size_t length = 0;
  // Detached by now, it has no bytes.
  if (napi_get_reference_value(env, call->argument, &argument) == napi_ok && argument != nullptr &&
      napi_get_typedarray_info(env, argument, nullptr, &length, &bytes, nullptr, nullptr) == napi_ok &&
      length > 0 && length == call->bytes.size()) {
    memcpy(bytes, call->bytes.data(), length);
  }
  napi_value result = nullptr;
  if (napi_create_double(env, static_cast<double>(call->result), &result) == napi_ok) {
    napi_resolve_deferred(env, call->deferred, result);
  }
  napi_delete_reference(env, call->argument);
  napi_delete_async_work(env, call->work);
  delete call;
}

// A duplicate of the caller's fd, or -errno.
int Duplicate(int fd) {
  const int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  return duplicate == -1 ? -errno : duplicate;
}

// The files, or the -errno of the one that could not be had, and none is open.
int TakeFiles(AsyncIoctl* call, int fd, int holding) {
  call->fd = Duplicate(fd);
  if (call->fd < 0) return call->fd;
  if (holding == -1) return 0;
  call->holding = Duplicate(holding);
  if (call->holding >= 0) return 0;
  close(call->fd);
  return call->holding;
}

}  // namespace

Napi::Value IoctlAsync(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const Napi::Env env = info.Env();
  const int fd = arguments.Fd(0);
  const unsigned long request = static_cast<unsigned long>(arguments.Integer(1, "request", 0, kMostWord));
  const Bytes argument = arguments.Uint8Array(2, "argument");
  const int holding = info[3].IsUndefined() ? -1 : arguments.Int(3, "holding");
  if (arguments.failed()) return {};
  napi_value promise = nullptr;
  napi_deferred deferred = nullptr;
  if (napi_create_promise(env, &deferred, &promise) != napi_ok) return {};
  AsyncIoctl* call = new AsyncIoctl();
  call->deferred = deferred;
  call->request = request;
  const int refused = TakeFiles(call, fd, holding);
  if (refused < 0) {
    delete call;
    napi_resolve_deferred(env, deferred, ToResult(env, refused));
    return Napi::Value(env, promise);
  }
  const uint8_t* bytes = static_cast<const uint8_t*>(argument.data);
  call->bytes.assign(bytes, bytes + argument.length);
  napi_value name = nullptr;
  if (napi_create_string_utf8(env, "ioctl", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_reference(env, info[2], 1, &call->argument) != napi_ok ||
      napi_create_async_work(env, nullptr, name, Run, Finish, call, &call->work) != napi_ok ||
      napi_queue_async_work(env, call->work) != napi_ok) {
    if (call->work != nullptr) napi_delete_async_work(env, call->work);
    if (call->argument != nullptr) napi_delete_reference(env, call->argument);
    CloseFiles(call);
    delete call;
    napi_resolve_deferred(env, deferred, ToResult(env, -ENOMEM));
  }
  return Napi::Value(env, promise);
}
