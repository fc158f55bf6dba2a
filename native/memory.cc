// mmap and its end, memory that is a file, and the address of a buffer.
//
// May assume: only this file gives mapped memory back. The rule that makes every order of events safe: memory that an
// ArrayBuffer has shown to JavaScript is munmapped in the finalizer of that ArrayBuffer's memory and nowhere else,
// because the engine, or a buffer it was transferred to, may still hold the pointer. Until then unmapping puts empty
// memory in its place.
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "arguments.h"
#include "bus-fault.h"

namespace {

// As many as the kernel can be built for.
constexpr int kMostNodes = 1024;
constexpr int kReadWrite = PROT_READ | PROT_WRITE;
constexpr int kPlacement = MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_GROWSDOWN;

Mapping* TakeMapping(Arguments& arguments) { return arguments.Handle<Mapping>(0, "a mapping", "mapping"); }

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

// A duplicate of `fd` if it is a memory file that cannot become shorter than the mapping, or -1. To be mapped in its place:
// another thread may close the fd meanwhile, and its number be another file's.
int DuplicateOfPlainMemory(int fd, size_t length, off_t offset) {
  if (fcntl(fd, F_GET_SEALS) == -1) return -1;
  const int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (duplicate == -1) return -1;
  const int seals = fcntl(duplicate, F_GET_SEALS);
  struct stat status = {};
  // By its number: fstat, compiled with a glibc of 2021 or later, is a symbol that earlier ones have not.
  const bool stays = seals != -1 && (seals & F_SEAL_SHRINK) != 0 && syscall(SYS_fstat, duplicate, &status) == 0 &&
                     offset <= status.st_size && length <= static_cast<uint64_t>(status.st_size - offset);
  if (stays) return duplicate;
  close(duplicate);
  return -1;
}

// Pages come from this node alone, from now on. 0, or -errno.
int Bind(void* address, size_t length, int node) {
  constexpr size_t kBits = 8 * sizeof(unsigned long);
  unsigned long nodes[kMostNodes / kBits] = {};
  nodes[node / kBits] = 1ul << (node % kBits);
  // One more than there are bits: the kernel counts so.
  return syscall(SYS_mbind, address, length, MPOL_BIND, nodes, kMostNodes + 1, 0) == -1 ? -errno : 0;
}

// One that was not yet unmapped, or null and an exception is pending.
Mapping* TakeOpenMapping(const Napi::CallbackInfo& info, Arguments& arguments) {
  Mapping* mapping = TakeMapping(arguments);
  if (arguments.failed()) return nullptr;
  if (mapping->open) return mapping;
  napi_throw_error(info.Env(), "ERR_VFIO_CLOSED", "The mapping is closed");
  return nullptr;
}

// The mapping as an ArrayBuffer, which is the same at each call.
Napi::Value Show(Napi::Env env, Mapping* mapping) {
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

}  // namespace

// Gives back what nothing can reach any more.
void Settle(Mapping* mapping) {
  if (mapping->exposed || mapping->populating > 0) return;
  if (mapping->address != nullptr && !(mapping->open && mapping->held)) {
    munmap(mapping->address, mapping->length);
    mapping->address = nullptr;
  }
  if (!mapping->held) delete mapping;
}

Napi::Value Mmap(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const Napi::Env env = info.Env();
  const int fd = static_cast<int>(arguments.Integer(0, "fd", -1, kMostInt));
  const size_t length = static_cast<size_t>(arguments.Integer(1, "length", 0, kMostLength));
  const int protection = arguments.Int(2, "protection");
  const int flags = arguments.Int(3, "flags");
  const off_t offset = arguments.Integer(4, "offset", 0, kMostSafe);
  const bool bound = !info[5].IsUndefined();
  const int node = bound ? static_cast<int>(arguments.Integer(5, "node", 0, kMostNodes - 1)) : 0;
  // The address is the kernel's choice: a fixed one could replace memory that is in use.
  if (!arguments.failed() && (flags & kPlacement) != 0) {
    arguments.Refuse(Wrong::range, "no MAP_FIXED, MAP_FIXED_NOREPLACE or MAP_GROWSDOWN", "flags", 3);
  }
  if (arguments.failed()) return {};
  CatchBusFaults();
  const bool usable = (protection & kReadWrite) == kReadWrite;
  const bool anonymous = (flags & MAP_ANONYMOUS) != 0;
  const bool shared = !anonymous && (flags & MAP_SHARED) != 0;
  const int duplicate = usable && shared ? DuplicateOfPlainMemory(fd, length, offset) : -1;
  // The node has to be said before there are pages.
  const int given = bound ? flags & ~MAP_POPULATE : flags;
  void* address = mmap(nullptr, length, protection, given, duplicate == -1 ? fd : duplicate, offset);
  int result = address == MAP_FAILED ? -errno : 0;
  if (duplicate != -1) close(duplicate);
  if (result < 0) return ToResult(env, result);
  Mapping* mapping = new Mapping();
  mapping->address = static_cast<uint8_t*>(address);
  mapping->length = length;
  mapping->protection = protection;
  // Without pages set aside for it, an access faults where no huge page is left.
  const bool reserved = (flags & MAP_NORESERVE) == 0 || (anonymous && (flags & MAP_HUGETLB) == 0);
  mapping->plain = usable && reserved && (anonymous || duplicate != -1);
  if (bound) result = Bind(address, length, node);
  if (result == 0 && mapping->plain && (flags & MAP_POPULATE) != 0) {
    result = Populate(address, length);
    if (result == -EINVAL && !bound) result = 0;
  }
  if (result < 0) {
    mapping->held = false;
    Settle(mapping);
    return ToResult(env, result);
  }
  napi_value handle = arguments.environment().Wrap(env, mapping, FinalizeHandle);
  if (handle == nullptr) {
    mapping->held = false;
    Settle(mapping);
  }
  return Napi::Value(env, handle);
}

Napi::Value MappingMemory(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  Mapping* mapping = TakeOpenMapping(info, arguments);
  if (mapping == nullptr) return {};
  // JavaScript reads and writes an ArrayBuffer without asking: only memory that stays can bear that.
  if (!mapping->plain) return info.Env().Undefined();
  return Show(info.Env(), mapping);
}

Napi::Value MappingRegisters(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  Mapping* mapping = TakeOpenMapping(info, arguments);
  if (mapping == nullptr) return {};
  if ((mapping->protection & kReadWrite) != kReadWrite) {
    arguments.Refuse(Wrong::type, "memory to read and write", "mapping", 0);
    return {};
  }
  return Show(info.Env(), mapping);
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
  if (mapping->populating > 0) {
    mapping->open = false;
    return ToResult(env, 0);
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
  // Whoever maps it may then show it to JavaScript.
  if ((flags & MFD_ALLOW_SEALING) != 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == -1) {
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
