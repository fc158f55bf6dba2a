// The module: one Environment per JavaScript environment, and the table of exports.
//
// May assume nothing about how often it is loaded: in many workers, twice in one process, unloaded with a worker. So
// there is no mutable static here.
#include "addon.h"

napi_value Environment::Wrap(napi_env env, Handle* handle, napi_finalize finalize) {
  napi_value external = nullptr;
  if (napi_create_external(env, handle, finalize, this, &external) != napi_ok) return nullptr;
  handles_.insert(handle);
  references_ += 1;
  return external;
}

void Environment::Forget(Handle* handle) {
  handles_.erase(handle);
  if (recent_ == handle) recent_ = nullptr;
}

void Environment::Release() {
  references_ -= 1;
  if (references_ == 0) delete this;
}

namespace {

template <Napi::Value (*callback)(const Napi::CallbackInfo&)>
napi_value Call(napi_env env, napi_callback_info info) {
  return callback(Napi::CallbackInfo(env, info));
}

}  // namespace

// Raw, because a worker that is terminated while it loads can run no JavaScript any more: here that is a refusal to be
// passed over, where a wrapper that cannot throw would end the process.
NAPI_MODULE_INIT() {
  Environment* environment = new Environment();
  auto release = [](napi_env, void* data, void*) { static_cast<Environment*>(data)->Release(); };
  if (napi_set_instance_data(env, environment, release, nullptr) != napi_ok) {
    environment->Release();
    return nullptr;
  }
  const auto function = [environment](const char* name, napi_callback callback) {
    return napi_property_descriptor{name, nullptr, callback, nullptr, nullptr, nullptr, napi_enumerable, environment};
  };
  const napi_property_descriptor exported[] = {
      function("open", Call<Open>),
      function("close", Call<Close>),
      function("ioctl", Call<Ioctl>),
      function("ioctlMany", Call<IoctlMany>),
      function("ioctlAsync", Call<IoctlAsync>),
      function("read", Call<Read>),
      function("write", Call<Write>),
      function("pread", Call<Pread>),
      function("pwrite", Call<Pwrite>),
      function("mmap", Call<Mmap>),
      function("mappingMemory", Call<MappingMemory>),
      function("mappingRegisters", Call<MappingRegisters>),
      function("populateAsync", Call<PopulateAsync>),
      function("unmap", Call<Unmap>),
      function("memfd", Call<Memfd>),
      function("addressOf", Call<AddressOf>),
      function("mmioRead8", MmioRead8),
      function("mmioRead16", MmioRead16),
      function("mmioRead32", MmioRead32),
      function("mmioRead64", MmioRead64),
      function("mmioWrite8", MmioWrite8),
      function("mmioWrite16", MmioWrite16),
      function("mmioWrite32", MmioWrite32),
      function("mmioWrite64", MmioWrite64),
      function("mmioReadRange", MmioReadRange),
      function("mmioWriteList", MmioWriteList),
      function("mmioPoll8", MmioPoll8),
      function("mmioPoll16", MmioPoll16),
      function("mmioPoll32", MmioPoll32),
      function("mmioPoll64", MmioPoll64),
      function("eventfd", Call<Eventfd>),
      function("watch", Call<WatchStart>),
      function("watchCount", Call<WatchCountStart>),
      function("watchRef", Call<WatchRef>),
      function("watchUnref", Call<WatchUnref>),
      function("watchStop", Call<WatchStop>),
  };
  napi_define_properties(env, exports, sizeof(exported) / sizeof(exported[0]), exported);
  return exports;
}
