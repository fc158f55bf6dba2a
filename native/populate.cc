// Pages brought in before they are touched: at once, or on a thread of the pool.
//
// May assume: memory.cc gives no memory back while `populating` is not 0, whatever else becomes of the mapping.
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "arguments.h"
#include "retry.h"

namespace {

// Of Linux 5.14; the C library's headers may be older.
constexpr int kPopulateWrite = 23;

// As much as is brought in under one lock of the process's address space, for which the threads of V8 would have to wait.
constexpr size_t kStep = 4 << 20;

struct AsyncPopulate {
  napi_async_work work = nullptr;
  napi_deferred deferred = nullptr;
  Mapping* mapping = nullptr;
  int result = 0;
};

void Run(napi_env, void* data) {
  AsyncPopulate* call = static_cast<AsyncPopulate*>(data);
  const Mapping* mapping = call->mapping;
  for (size_t done = 0; done < mapping->length && mapping->open && call->result == 0; done += kStep) {
    call->result = Populate(mapping->address + done, std::min(kStep, mapping->length - done));
  }
}

void Finish(napi_env env, napi_status, void* data) {
  AsyncPopulate* call = static_cast<AsyncPopulate*>(data);
  call->mapping->populating -= 1;
  Settle(call->mapping);
  napi_value result = nullptr;
  if (napi_create_double(env, call->result, &result) == napi_ok) napi_resolve_deferred(env, call->deferred, result);
  napi_delete_async_work(env, call->work);
  delete call;
}

}  // namespace

int Populate(void* address, size_t length) {
  const int result = static_cast<int>(Retry([&] { return madvise(address, length, kPopulateWrite); }));
  return result == -EFAULT ? -ENOMEM : result;
}

// Of memory to read and write.
Napi::Value PopulateAsync(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const Napi::Env env = info.Env();
  Mapping* mapping = arguments.Handle<Mapping>(0, "a mapping", "mapping");
  if (mapping != nullptr && !(mapping->open && mapping->plain)) arguments.Refuse(Wrong::type, "memory", "mapping", 0);
  if (arguments.failed()) return {};
  napi_value promise = nullptr;
  napi_deferred deferred = nullptr;
  if (napi_create_promise(env, &deferred, &promise) != napi_ok) return {};
  AsyncPopulate* call = new AsyncPopulate();
  call->deferred = deferred;
  call->mapping = mapping;
  napi_value name = nullptr;
  if (napi_create_string_utf8(env, "madvise", NAPI_AUTO_LENGTH, &name) == napi_ok &&
      napi_create_async_work(env, nullptr, name, Run, Finish, call, &call->work) == napi_ok &&
      napi_queue_async_work(env, call->work) == napi_ok) {
    mapping->populating += 1;
    return Napi::Value(env, promise);
  }
  if (call->work != nullptr) napi_delete_async_work(env, call->work);
  delete call;
  napi_resolve_deferred(env, deferred, ToResult(env, -ENOMEM));
  return Napi::Value(env, promise);
}
