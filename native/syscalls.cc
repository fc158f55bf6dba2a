// open, close, ioctl, read, write, pread, pwrite: numbers and bytes down, a number or -errno back.
//
// May assume: the kernel checks fds, requests and flags. It cannot check that memory given to ioctl is as long as the
// request needs; that is the caller's part.
#include <fcntl.h>
#include <limits.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

#include "arguments.h"

namespace {

// The result of `call`, made again for as long as a signal interrupts it; -errno if it failed.
template <typename Call>
int64_t Retry(Call call) {
  int64_t result;
  do {
    result = call();
  } while (result == -1 && errno == EINTR);
  return result == -1 ? -errno : result;
}

}  // namespace

napi_value Open(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  if (!arguments.IsType(0, napi_string)) arguments.Refuse(Wrong::type, "a string", "path", 0);
  const int flags = arguments.Int(1, "flags");
  if (arguments.failed()) return nullptr;
  char path[PATH_MAX];
  size_t length = 0;
  napi_get_value_string_utf8(env, arguments[0], nullptr, 0, &length);
  if (length >= sizeof(path)) return ToResult(env, -ENAMETOOLONG);
  napi_get_value_string_utf8(env, arguments[0], path, sizeof(path), &length);
  if (strlen(path) != length) return ThrowExpected(env, Wrong::range, "a string without zero bytes", "path", arguments[0]);
  return ToResult(env, Retry([&] { return open(path, flags | O_CLOEXEC, 0600); }));
}

napi_value Close(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.Fd(0);
  if (arguments.failed()) return nullptr;
  // Never again after EINTR: the fd is gone by then, and its number may be another file's already.
  return ToResult(env, close(fd) == -1 ? -errno : 0);
}

napi_value Ioctl(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.Fd(0);
  const unsigned long request = static_cast<unsigned long>(arguments.Integer(1, "request", 0, kMostWord));
  void* argument = nullptr;
  if (arguments.IsType(2, napi_number)) {
    argument = reinterpret_cast<void*>(arguments.Integer(2, "argument", 0, kMostSafe));
  } else if (!arguments.IsType(2, napi_undefined)) {
    argument = arguments.Uint8Array(2, "argument").data;
  }
  if (arguments.failed()) return nullptr;
  return ToResult(env, Retry([&] { return ioctl(fd, request, argument); }));
}

napi_value Read(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.Fd(0);
  const Bytes bytes = arguments.Uint8Array(1, "bytes");
  if (arguments.failed()) return nullptr;
  return ToResult(env, Retry([&] { return read(fd, bytes.data, bytes.length); }));
}

napi_value Write(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.Fd(0);
  const Bytes bytes = arguments.Uint8Array(1, "bytes");
  if (arguments.failed()) return nullptr;
  return ToResult(env, Retry([&] { return write(fd, bytes.data, bytes.length); }));
}

napi_value Pread(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.Fd(0);
  const Bytes bytes = arguments.Uint8Array(1, "bytes");
  const off_t offset = arguments.Integer(2, "offset", 0, kMostSafe);
  if (arguments.failed()) return nullptr;
  return ToResult(env, Retry([&] { return pread(fd, bytes.data, bytes.length, offset); }));
}

napi_value Pwrite(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.Fd(0);
  const Bytes bytes = arguments.Uint8Array(1, "bytes");
  const off_t offset = arguments.Integer(2, "offset", 0, kMostSafe);
  if (arguments.failed()) return nullptr;
  return ToResult(env, Retry([&] { return pwrite(fd, bytes.data, bytes.length, offset); }));
}
