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
void Export(Napi::Object exports, const char* name, Environment* environment) {
  exports.Set(name, Napi::Function::New<callback>(exports.Env(), name, environment));
}

// For the hot path, without a wrapper around it.
void ExportRaw(Napi::Object exports, const char* name, napi_callback callback, Environment* environment) {
  napi_value function = nullptr;
  if (napi_create_function(exports.Env(), name, NAPI_AUTO_LENGTH, callback, environment, &function) == napi_ok) {
    exports.Set(name, function);
  }
}

void ReleaseEnvironment(Napi::Env, Environment* environment) { environment->Release(); }

}  // namespace

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  Environment* environment = new Environment();
  env.SetInstanceData<Environment, ReleaseEnvironment>(environment);
  Export<Open>(exports, "open", environment);
  Export<Close>(exports, "close", environment);
  Export<Ioctl>(exports, "ioctl", environment);
  Export<Read>(exports, "read", environment);
  Export<Write>(exports, "write", environment);
  Export<Pread>(exports, "pread", environment);
  Export<Pwrite>(exports, "pwrite", environment);
  Export<Mmap>(exports, "mmap", environment);
  Export<MappingMemory>(exports, "mappingMemory", environment);
  Export<Unmap>(exports, "unmap", environment);
  Export<AddressOf>(exports, "addressOf", environment);
  ExportRaw(exports, "mmioRead8", MmioRead8, environment);
  ExportRaw(exports, "mmioRead16", MmioRead16, environment);
  ExportRaw(exports, "mmioRead32", MmioRead32, environment);
  ExportRaw(exports, "mmioRead64", MmioRead64, environment);
  ExportRaw(exports, "mmioWrite8", MmioWrite8, environment);
  ExportRaw(exports, "mmioWrite16", MmioWrite16, environment);
  ExportRaw(exports, "mmioWrite32", MmioWrite32, environment);
  ExportRaw(exports, "mmioWrite64", MmioWrite64, environment);
  Export<Eventfd>(exports, "eventfd", environment);
  Export<WatchStart>(exports, "watch", environment);
  Export<WatchRef>(exports, "watchRef", environment);
  Export<WatchUnref>(exports, "watchUnref", environment);
  Export<WatchStop>(exports, "watchStop", environment);
  return exports;
}

NODE_API_MODULE(NODE_GYP_MODULE_NAME, Init)
