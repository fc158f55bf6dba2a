// eventfd(2), and readiness of any fd on this environment's own event loop.
//
// May assume: callbacks of the loop run on the environment's thread with nothing of JavaScript on the stack. A watch
// polls a duplicate of the fd, which is this file's alone: the loop ends the process if a file it polls is closed, and
// nobody can close this one.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <uv.h>

#include <cerrno>

#include "arguments.h"

namespace {

struct Watch : Handle {
  static constexpr Kind kKind = Kind::watch;
  Watch() : Handle(kKind) {}
  napi_env env = nullptr;
  uv_poll_t poll;
  int fd = -1;                       // the duplicate
  napi_ref ready = nullptr;          // strong until stopped: a watch works on after its handle is forgotten
  napi_async_context context = nullptr;
  napi_async_cleanup_hook_handle hook = nullptr;
  bool stopped = false;
  int holders = 2;                   // the loop and the External; freed by the last
};

Watch* TakeWatch(Arguments& arguments) { return arguments.Handle<Watch>(0, "a watch", "watch"); }

void Release(Watch* watch) {
  watch->holders -= 1;
  if (watch->holders == 0) delete watch;
}

void FinalizeHandle(napi_env, void* data, void* hint) {
  Watch* watch = static_cast<Watch*>(data);
  Environment* environment = static_cast<Environment*>(hint);
  environment->Forget(watch);
  Release(watch);
  environment->Release();
}

// The loop has let go: everything else is freed here, whether it was stopped or its environment ends.
void OnClosed(uv_handle_t* handle) {
  Watch* watch = static_cast<Watch*>(handle->data);
  napi_env env = watch->env;
  napi_handle_scope scope = nullptr;
  napi_open_handle_scope(env, &scope);
  if (watch->ready != nullptr) napi_delete_reference(env, watch->ready);
  if (watch->context != nullptr) napi_async_destroy(env, watch->context);
  napi_close_handle_scope(env, scope);
  // Last: the environment may end as soon as this is called.
  napi_async_cleanup_hook_handle hook = watch->hook;
  Release(watch);
  if (hook != nullptr) napi_remove_async_cleanup_hook(hook);
}

void Stop(Watch* watch) {
  if (watch->stopped) return;
  watch->stopped = true;
  uv_poll_stop(&watch->poll);
  uv_close(reinterpret_cast<uv_handle_t*>(&watch->poll), OnClosed);
  // At once, and not when the loop comes round: as long as the duplicate is open, so is the file.
  close(watch->fd);
}

// The environment ends (exit, worker.terminate()) with the watch running. It waits until the hook is removed.
void OnEnvironmentEnd(napi_async_cleanup_hook_handle, void* data) { Stop(static_cast<Watch*>(data)); }

// Calls JavaScript, with `count` if there is one.
void CallReady(Watch* watch, const uint64_t* count) {
  napi_env env = watch->env;
  napi_handle_scope scope = nullptr;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_value ready = nullptr;
  napi_value receiver = nullptr;
  napi_value argument = nullptr;
  napi_get_reference_value(env, watch->ready, &ready);
  napi_get_global(env, &receiver);
  if (count != nullptr) napi_create_double(env, static_cast<double>(*count), &argument);
  napi_make_callback(env, watch->context, receiver, ready, count == nullptr ? 0 : 1, &argument, nullptr);
  // An exception left pending would vanish, and nothing would be delivered after it.
  bool thrown = false;
  napi_value error = nullptr;
  if (napi_is_exception_pending(env, &thrown) == napi_ok && thrown &&
      napi_get_and_clear_last_exception(env, &error) == napi_ok) {
    napi_fatal_exception(env, error);
  }
  napi_close_handle_scope(env, scope);
}

// Also called when the file reports an error: reading it will tell which.
void OnReadable(uv_poll_t* poll, int, int) { CallReady(static_cast<Watch*>(poll->data), nullptr); }

// Here and not in the callback, so that a wake-up crosses into JavaScript once.
void OnCount(uv_poll_t* poll, int, int) {
  Watch* watch = static_cast<Watch*>(poll->data);
  uint64_t count = 0;
  // Somebody else may have read the eventfd between its wake-up and now.
  if (read(watch->fd, &count, sizeof(count)) == sizeof(count)) CallReady(watch, &count);
}

// A polled duplicate of `fd`; 0, or -errno and nothing is left open.
int Poll(Watch* watch, int fd) {
  uv_loop_s* loop = nullptr;
  if (napi_get_uv_event_loop(watch->env, &loop) != napi_ok) return -ENOTSUP;
  const int mode = fcntl(fd, F_GETFL);
  if (mode == -1) return -errno;
  watch->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (watch->fd == -1) return -errno;
  const int result = uv_poll_init(loop, &watch->poll, watch->fd);
  if (result < 0) {
    close(watch->fd);
    return result;
  }
  // The loop made the file non-blocking, for every fd that refers to it. Whether it is, is the caller's choice.
  fcntl(watch->fd, F_SETFL, mode);
  watch->poll.data = watch;
  return 0;
}

// What it takes to call JavaScript from the loop.
bool Prepare(Watch* watch, napi_value callback) {
  napi_env env = watch->env;
  napi_value name = nullptr;
  return napi_create_string_utf8(env, "FdWatch", NAPI_AUTO_LENGTH, &name) == napi_ok &&
         napi_async_init(env, nullptr, name, &watch->context) == napi_ok &&
         napi_create_reference(env, callback, 1, &watch->ready) == napi_ok &&
         napi_add_async_cleanup_hook(env, OnEnvironmentEnd, watch, &watch->hook) == napi_ok;
}

// A new watch of the fd and the function that the arguments are, or -errno.
Napi::Value Start(const Napi::CallbackInfo& info, uv_poll_cb on_readable) {
  Arguments arguments(info);
  const Napi::Env env = info.Env();
  const int fd = arguments.Fd(0);
  if (!arguments.failed() && !info[1].IsFunction()) arguments.Refuse(Wrong::type, "a function", "ready", 1);
  if (arguments.failed()) return {};
  Watch* watch = new Watch();
  watch->env = env;
  const int result = Poll(watch, fd);
  if (result < 0) {
    delete watch;
    return ToResult(env, result);
  }
  napi_value handle = arguments.environment().Wrap(env, watch, FinalizeHandle);
  if (handle == nullptr) watch->holders = 1;
  if (handle == nullptr || !Prepare(watch, info[1]) || uv_poll_start(&watch->poll, UV_READABLE, on_readable) < 0) {
    Stop(watch);
    return ToResult(env, -ENOMEM);
  }
  uv_unref(reinterpret_cast<uv_handle_t*>(&watch->poll));
  return Napi::Value(env, handle);
}

}  // namespace

Napi::Value Eventfd(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const unsigned int initial = static_cast<unsigned int>(arguments.Integer(0, "initial", 0, kMostWord));
  const int flags = arguments.Int(1, "flags");
  if (arguments.failed()) return {};
  const int fd = eventfd(initial, flags | EFD_CLOEXEC);
  return ToResult(info.Env(), fd == -1 ? -errno : fd);
}

Napi::Value WatchStart(const Napi::CallbackInfo& info) { return Start(info, OnReadable); }

Napi::Value WatchCountStart(const Napi::CallbackInfo& info) { return Start(info, OnCount); }

Napi::Value WatchRef(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  Watch* watch = TakeWatch(arguments);
  if (!arguments.failed() && !watch->stopped) uv_ref(reinterpret_cast<uv_handle_t*>(&watch->poll));
  return {};
}

Napi::Value WatchUnref(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  Watch* watch = TakeWatch(arguments);
  if (!arguments.failed() && !watch->stopped) uv_unref(reinterpret_cast<uv_handle_t*>(&watch->poll));
  return {};
}

Napi::Value WatchStop(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  Watch* watch = TakeWatch(arguments);
  if (!arguments.failed()) Stop(watch);
  return {};
}
