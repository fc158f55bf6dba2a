// open, close, ioctl, ioctlMany, read, write, pread, pwrite: numbers and bytes down, a number or -errno back.
//
// May assume: the kernel checks fds, requests and flags. It cannot check that memory given to ioctl is as long as the
// request needs; that is the caller's part.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "arguments.h"
#include "retry.h"

Napi::Value Open(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const std::string path = arguments.String(0, "path");
  const int flags = arguments.Int(1, "flags");
  if (arguments.failed()) return {};
  return ToResult(info.Env(), Retry([&] { return open(path.c_str(), flags | O_CLOEXEC, 0600); }));
}

Napi::Value Close(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const int fd = arguments.Fd(0);
  if (arguments.failed()) return {};
  // Never again after EINTR: the fd is gone by then, and its number may be another file's already.
  return ToResult(info.Env(), close(fd) == -1 ? -errno : 0);
}

Napi::Value Ioctl(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const int fd = arguments.Fd(0);
  const unsigned long request = static_cast<unsigned long>(arguments.Integer(1, "request", 0, kMostWord));
  void* argument = arguments.Pointer(2, "argument");
  if (arguments.failed()) return {};
  return ToResult(info.Env(), Retry([&] { return ioctl(fd, request, argument); }));
}

// The same request on consecutive structs, one for each of `results`, until one fails.
Napi::Value IoctlMany(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const int fd = arguments.Fd(0);
  const unsigned long request = static_cast<unsigned long>(arguments.Integer(1, "request", 0, kMostWord));
  const Bytes structs = arguments.Uint8Array(2, "structs");
  const Words results = arguments.Int32Array(3, "results");
  if (arguments.failed() || !arguments.Divides(results.length, structs.length, "structs")) return {};
  const size_t size = results.length == 0 ? 0 : structs.length / results.length;
  size_t done = 0;
  for (; done < results.length; done += 1) {
    uint8_t* argument = static_cast<uint8_t*>(structs.data) + done * size;
    results.data[done] = static_cast<int32_t>(Retry([&] { return ioctl(fd, request, argument); }));
    if (results.data[done] < 0) break;
  }
  return ToResult(info.Env(), static_cast<int64_t>(done));
}

Napi::Value Read(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const int fd = arguments.Fd(0);
  const Bytes bytes = arguments.Uint8Array(1, "bytes");
  if (arguments.failed()) return {};
  return ToResult(info.Env(), Retry([&] { return read(fd, bytes.data, bytes.length); }));
}

Napi::Value Write(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const int fd = arguments.Fd(0);
  const Bytes bytes = arguments.Uint8Array(1, "bytes");
  if (arguments.failed()) return {};
  return ToResult(info.Env(), Retry([&] { return write(fd, bytes.data, bytes.length); }));
}

Napi::Value Pread(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const int fd = arguments.Fd(0);
  const Bytes bytes = arguments.Uint8Array(1, "bytes");
  const off_t offset = arguments.Integer(2, "offset", 0, kMostSafe);
  if (arguments.failed()) return {};
  return ToResult(info.Env(), Retry([&] { return pread(fd, bytes.data, bytes.length, offset); }));
}

Napi::Value Pwrite(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const int fd = arguments.Fd(0);
  const Bytes bytes = arguments.Uint8Array(1, "bytes");
  const off_t offset = arguments.Integer(2, "offset", 0, kMostSafe);
  if (arguments.failed()) return {};
  return ToResult(info.Env(), Retry([&] { return pwrite(fd, bytes.data, bytes.length, offset); }));
}
