// What the sources share: one Environment per JavaScript environment (main thread or worker), and the handles it has
// given out.
//
// May assume: everything here is used on the thread of its environment only, so nothing is locked.
#pragma once

#include <napi.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <set>

static_assert(sizeof(void*) == 8, "lengths, offsets and addresses are 64 bits wide");

// What a JavaScript External of this addon points to. The first thing known about one that comes back is its kind.
struct Handle {
  enum class Kind { mapping, watch };
  explicit Handle(Kind k) : kind(k) {}
  const Kind kind;
};

// The data of every exported function. It outlives the environment's own reference to it for as long as a handle needs
// it, because the order in which finalizers run at the end of an environment is not promised.
class Environment {
 public:
  // A new External for `handle`, which `finalize(env, handle, this)` ends. Null with an exception pending on failure.
  napi_value Wrap(napi_env env, Handle* handle, napi_finalize finalize);

  // The handle that `value` holds, or null. Looked up rather than type-tagged: a stranger's External is never
  // dereferenced, and one look-up costs less than the comparison of a tag.
  template <typename T>
  T* Find(napi_env env, napi_value value) const {
    void* pointer = nullptr;
    if (napi_get_value_external(env, value, &pointer) != napi_ok || pointer == nullptr) return nullptr;
    if (pointer != recent_) {
      if (handles_.count(pointer) == 0) return nullptr;
      recent_ = pointer;
    }
    Handle* handle = static_cast<Handle*>(pointer);
    return handle->kind == T::kKind ? static_cast<T*>(handle) : nullptr;
  }

  // The handle's External is gone.
  void Forget(Handle* handle);

  // Ends one reference: the environment's own, or that of a handle.
  void Release();

 private:
  ~Environment() = default;
  std::set<void*> handles_;         // not hashed: that takes a newer libstdc++ than Node does
  mutable void* recent_ = nullptr;  // the last one found: most programs ask for the same again
  size_t references_ = 1;
};

// One mmap. The memory is given back when neither an ArrayBuffer nor an open handle can reach it.
struct Mapping : Handle {
  static constexpr Kind kKind = Kind::mapping;
  Mapping() : Handle(kKind) {}
  uint8_t* address = nullptr;     // null once given back
  size_t length = 0;
  int protection = 0;
  bool plain = false;             // memory that stays there as long as it is mapped: no access to it can fault
  int populating = 0;             // how many other threads have its pages brought in
  std::atomic<bool> open = true;  // not yet unmapped
  bool held = true;               // its External exists
  bool exposed = false;           // memory of an ArrayBuffer points here
  napi_ref memory = nullptr;      // that ArrayBuffer, strong: the same one each time it is asked for
};

// Gives back memory that nothing can reach any more, and the mapping with it.
void Settle(Mapping* mapping);

// Has all pages there. mmap(2) does not tell when it could not populate, and a later access to a huge page that cannot be
// had would end the process. 0, or -errno; -EINVAL before Linux 5.14.
int Populate(void* address, size_t length);

// Every exported function, by the file that defines it.
Napi::Value Open(const Napi::CallbackInfo& info);
Napi::Value Close(const Napi::CallbackInfo& info);
Napi::Value Ioctl(const Napi::CallbackInfo& info);
Napi::Value IoctlMany(const Napi::CallbackInfo& info);
Napi::Value IoctlAsync(const Napi::CallbackInfo& info);
Napi::Value Read(const Napi::CallbackInfo& info);
Napi::Value Write(const Napi::CallbackInfo& info);
Napi::Value Pread(const Napi::CallbackInfo& info);
Napi::Value Pwrite(const Napi::CallbackInfo& info);

Napi::Value Mmap(const Napi::CallbackInfo& info);
Napi::Value MappingMemory(const Napi::CallbackInfo& info);
Napi::Value MappingRegisters(const Napi::CallbackInfo& info);
Napi::Value PopulateAsync(const Napi::CallbackInfo& info);
Napi::Value Unmap(const Napi::CallbackInfo& info);
Napi::Value Memfd(const Napi::CallbackInfo& info);
Napi::Value AddressOf(const Napi::CallbackInfo& info);

napi_value MmioRead8(napi_env env, napi_callback_info info);
napi_value MmioRead16(napi_env env, napi_callback_info info);
napi_value MmioRead32(napi_env env, napi_callback_info info);
napi_value MmioRead64(napi_env env, napi_callback_info info);
napi_value MmioWrite8(napi_env env, napi_callback_info info);
napi_value MmioWrite16(napi_env env, napi_callback_info info);
napi_value MmioWrite32(napi_env env, napi_callback_info info);
napi_value MmioWrite64(napi_env env, napi_callback_info info);
napi_value MmioReadRange(napi_env env, napi_callback_info info);
napi_value MmioWriteList(napi_env env, napi_callback_info info);
napi_value MmioPoll8(napi_env env, napi_callback_info info);
napi_value MmioPoll16(napi_env env, napi_callback_info info);
napi_value MmioPoll32(napi_env env, napi_callback_info info);
napi_value MmioPoll64(napi_env env, napi_callback_info info);

Napi::Value Eventfd(const Napi::CallbackInfo& info);
Napi::Value WatchStart(const Napi::CallbackInfo& info);
Napi::Value WatchCountStart(const Napi::CallbackInfo& info);
Napi::Value WatchRef(const Napi::CallbackInfo& info);
Napi::Value WatchUnref(const Napi::CallbackInfo& info);
Napi::Value WatchStop(const Napi::CallbackInfo& info);
