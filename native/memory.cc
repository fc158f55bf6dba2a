// mmap and its end, memory that is a file, and the address of a buffer.
//
// May assume: only this file gives mapped memory back. The rule that makes every order of events safe: memory that an
// ArrayBuffer has shown to JavaScript is munmapped in the finalizer of that ArrayBuffer's memory and nowhere else,
// because the engine, or a buffer it was transferred to, may still hold the pointer. Until then unmapping puts empty
// memory in its place.
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "arguments.h"
#include "bus-fault.h"

namespace {

constexpr int kPlacement = MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_GROWSDOWN;

Mapping* TakeMapping(Arguments& arguments) { return arguments.Handle<Mapping>(0, "a mapping", "mapping"); }

// Gives back what nothing can reach any more.
void Settle(Mapping* mapping) {
  if (mapping->exposed) return;
  if (mapping->address != nullptr && !(mapping->open && mapping->held)) {
    munmap(mapping->address, mapping->length);
    mapping->address = nullptr;
  }
  if (!mapping->held) delete mapping;
}

void FinalizeHandle(napi_env env, void* data, void* hint) {
  Mapping* mapping = static_cast<Mapping*>(data);
  Environment* environment = static_cast<Environment*>(hint);
  environment->Forget(mapping);
  // From here on the ArrayBuffer, if there is one, lives as long as its users.
  if (mapping->memory != nullptr) napi_delete_reference(env, mapping->memory);
  mapping->memory = nullptr;
  mapping->held = false;
  Settle(mapping);
  environment->Release();
}

void FinalizeMemory(napi_env, void*, void* hint) {
  Mapping* mapping = static_cast<Mapping*>(hint);
  mapping->exposed = false;
  Settle(mapping);
}

// Ends an exposed mapping now; its address range stays reserved until nothing holds it. 0, or -errno if the kernel
// could not replace the memory: then it goes only with the address range, but JavaScript has lost it all the same.
int Retire(napi_env env, Mapping* mapping) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
  void* overlay = mmap(mapping->address, mapping->length, PROT_READ | PROT_WRITE, flags, -1, 0);
  const int result = overlay == MAP_FAILED ? -errno : 0;
  napi_ref memory = mapping->memory;
  mapping->memory = nullptr;
  napi_value buffer = nullptr;
  if (memory != nullptr && napi_get_reference_value(env, memory, &buffer) == napi_ok && buffer != nullptr) {
    napi_detach_arraybuffer(env, buffer);
  }
  if (memory != nullptr) napi_delete_reference(env, memory);
  return result;
}

}  // namespace

Napi::Value Mmap(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const Napi::Env env = info.Env();
  const int fd = static_cast<int>(arguments.Integer(0, "fd", -1, kMostInt));
  const size_t length = static_cast<size_t>(arguments.Integer(1, "length", 0, kMostLength));
  const int protection = arguments.Int(2, "protection");
  const int flags = arguments.Int(3, "flags");
  const off_t offset = arguments.Integer(4, "offset", 0, kMostSafe);
  // The address is the kernel's choice: a fixed one could replace memory that is in use.
  if (!arguments.failed() && (flags & kPlacement) != 0) {
    arguments.Refuse(Wrong::range, "no MAP_FIXED, MAP_FIXED_NOREPLACE or MAP_GROWSDOWN", "flags", 3);
  }
  if (arguments.failed()) return {};
  CatchBusFaults();
  void* address = mmap(nullptr, length, protection, flags, fd, offset);
  if (address == MAP_FAILED) return ToResult(env, -errno);
  Mapping* mapping = new Mapping();
  mapping->address = static_cast<uint8_t*>(address);
  mapping->length = length;
  mapping->protection = protection;
  napi_value handle = arguments.environment().Wrap(env, mapping, FinalizeHandle);
  if (handle == nullptr) {
    mapping->held = false;
    Settle(mapping);
  }
  return Napi::Value(env, handle);
}

Napi::Value MappingMemory(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const Napi::Env env = info.Env();
  Mapping* mapping = TakeMapping(arguments);
  if (arguments.failed()) return {};
  if (!mapping->open) {
    napi_throw_error(env, "ERR_VFIO_CLOSED", "The mapping is closed");
    return {};
  }
  // JavaScript reads and writes an ArrayBuffer without asking. Who asks for a device's sees to it that nobody else does.
  constexpr int needed = PROT_READ | PROT_WRITE;
  if ((mapping->protection & needed) != needed) {
    arguments.Refuse(Wrong::type, "memory to read and write", "mapping", 0);
    return {};
  }
  napi_value buffer = nullptr;
  if (mapping->memory != nullptr) {
    napi_get_reference_value(env, mapping->memory, &buffer);
    return Napi::Value(env, buffer);
  }
  mapping->exposed = true;
  const napi_status status =
      napi_create_external_arraybuffer(env, mapping->address, mapping->length, FinalizeMemory, mapping, &buffer);
  // Where the engine refuses a length, it throws and runs the finalizer itself; where it refuses all external memory,
  // it does neither.
  if (status == napi_no_external_buffers_allowed) {
    mapping->exposed = false;
    napi_throw_error(env, nullptr, "This JavaScript engine allows no memory from outside");
  }
  if (status != napi_ok) return {};
  napi_create_reference(env, buffer, 1, &mapping->memory);
  return Napi::Value(env, buffer);
}

Napi::Value Unmap(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const Napi::Env env = info.Env();
  Mapping* mapping = TakeMapping(arguments);
  if (arguments.failed()) return {};
  if (!mapping->open) return ToResult(env, 0);
  if (mapping->exposed) {
    mapping->open = false;
    return ToResult(env, Retire(env, mapping));
  }
  if (munmap(mapping->address, mapping->length) == -1) return ToResult(env, -errno);
  mapping->open = false;
  mapping->address = nullptr;
  return ToResult(env, 0);
}

Napi::Value Memfd(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const std::string name = arguments.String(0, "name");
  const off_t size = arguments.Integer(1, "size", 0, kMostSafe);
  const unsigned int flags = static_cast<unsigned int>(arguments.Integer(2, "flags", 0, kMostWord));
  if (arguments.failed()) return {};
  const int fd = memfd_create(name.c_str(), flags | MFD_CLOEXEC);
  if (fd == -1) return ToResult(info.Env(), -errno);
  if (ftruncate(fd, size) == -1) {
    const int refused = errno;
    close(fd);
    return ToResult(info.Env(), -refused);
  }
  return ToResult(info.Env(), fd);
}

Napi::Value AddressOf(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  if (!info[0].IsArrayBuffer()) {
    arguments.Refuse(Wrong::type, "an ArrayBuffer", "memory", 0);
    return {};
  }
  Napi::ArrayBuffer memory = info[0].As<Napi::ArrayBuffer>();
  if (memory.ByteLength() == 0) {
    arguments.Refuse(Wrong::range, "an ArrayBuffer with bytes", "memory", 0);
    return {};
  }
  return Napi::BigInt::New(info.Env(), reinterpret_cast<uint64_t>(memory.Data()));
}
