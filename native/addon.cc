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
      function("open", Open),
      function("close", Close),
      function("ioctl", Ioctl),
      function("read", Read),
      function("write", Write),
      function("pread", Pread),
      function("pwrite", Pwrite),
      function("mmap", Mmap),
      function("mappingMemory", MappingMemory),
      function("unmap", Unmap),
      function("addressOf", AddressOf),
      function("mmioRead8", MmioRead8),
      function("mmioRead16", MmioRead16),
      function("mmioRead32", MmioRead32),
      function("mmioRead64", MmioRead64),
      function("mmioWrite8", MmioWrite8),
      function("mmioWrite16", MmioWrite16),
      function("mmioWrite32", MmioWrite32),
      function("mmioWrite64", MmioWrite64),
      function("eventfd", Eventfd),
      function("watch", WatchStart),
      function("watchRef", WatchRef),
      function("watchUnref", WatchUnref),
      function("watchStop", WatchStop),
  };
  napi_define_properties(env, exports, sizeof(exported) / sizeof(exported[0]), exported);
  return exports;
}
