// What every form of register access shares: where it goes, how it is ordered, and how it is refused.
//
// May assume: this is the hot path. Everything is checked before the access, with as few calls into the engine as
// possible.
#pragma once

#include <sys/mman.h>

#include "arguments.h"
#include "bus-fault.h"

// What was written to memory before must be visible to the device before a register write tells it to look; what a
// register read tells must be true before memory is read after it. On x86 the processor keeps both orders itself.
inline void OrderBeforeWrite() {
#if defined(__aarch64__)
  asm volatile("dmb oshst" ::: "memory");
#elif defined(__x86_64__)
  asm volatile("" ::: "memory");
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}
inline void OrderAfterRead() {
#if defined(__aarch64__)
  asm volatile("dmb oshld" ::: "memory");
#elif defined(__x86_64__)
  asm volatile("" ::: "memory");
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

template <typename Word>
inline Word LoadWord(const uint8_t* address) {
  return *reinterpret_cast<const volatile Word*>(address);
}

template <typename Word>
inline void StoreWord(uint8_t* address, Word value) {
  *reinterpret_cast<volatile Word*>(address) = value;
}

// The mapping that `handle` is, open; or null with an exception pending.
inline Mapping* TakeOpen(napi_env env, void* data, napi_value handle) {
  Mapping* mapping = static_cast<Environment*>(data)->Find<Mapping>(env, handle);
  if (mapping == nullptr) {
    ThrowExpected(env, Wrong::type, "a mapping", "mapping", handle);
    return nullptr;
  }
  if (!mapping->open) {
    napi_throw_error(env, "ERR_VFIO_CLOSED", "The mapping is closed");
    return nullptr;
  }
  return mapping;
}

inline bool Allows(napi_env env, const Mapping* mapping, int needed) {
  if ((mapping->protection & needed) != 0) return true;
  napi_throw_range_error(env, nullptr, needed == PROT_READ ? "The mapping is not readable" : "The mapping is not writable");
  return false;
}

// Throws that `received` is no place for `bytes` of words that are `width` wide. Returns null, for the caller to return.
inline napi_value ThrowMisplaced(napi_env env, Wrong wrong, size_t width, int64_t most, const char* name, napi_value received) {
  char what[96];
  snprintf(what, sizeof(what), "a multiple of %zu from 0 to %lld", width, static_cast<long long>(most));
  return ThrowExpected(env, wrong, what, name, received);
}

// A checked place of a mapping. Without an address, an exception is pending.
struct Place {
  uint8_t* address;
  uint64_t offset;
};

// The place of `count` words side by side.
template <typename Word>
inline Place Locate(napi_env env, void* data, napi_value handle, napi_value position, int needed, size_t count = 1) {
  constexpr size_t width = sizeof(Word);
  const Mapping* mapping = TakeOpen(env, data, handle);
  if (mapping == nullptr) return {nullptr, 0};
  double offset = 0;
  const napi_status status = napi_get_value_double(env, position, &offset);
  const int64_t most = static_cast<int64_t>(mapping->length) - static_cast<int64_t>(width * count);
  if (status != napi_ok || !ToInteger(offset, 0, most) || static_cast<uint64_t>(offset) % width != 0) {
    ThrowMisplaced(env, status == napi_ok ? Wrong::range : Wrong::type, width, most, "offset", position);
    return {nullptr, 0};
  }
  if (!Allows(env, mapping, needed)) return {nullptr, 0};
  return {mapping->address + static_cast<uint64_t>(offset), static_cast<uint64_t>(offset)};
}

// A value of a register, or false with an exception pending.
template <typename Word>
inline bool TakeWord(napi_env env, napi_value value, const char* name, Word* word) {
  if constexpr (sizeof(Word) == 8) {
    bool lossless = false;
    const napi_status status = napi_get_value_bigint_uint64(env, value, word, &lossless);
    if (status == napi_ok && lossless) return true;
    if (status == napi_ok) {
      ThrowExpected(env, Wrong::range, "an integer from 0 to 18446744073709551615", name, value);
    } else {
      ThrowExpected(env, Wrong::type, "a bigint", name, value);
    }
  } else {
    constexpr int64_t most = (int64_t{1} << (8 * sizeof(Word))) - 1;
    double number = 0;
    const napi_status status = napi_get_value_double(env, value, &number);
    if (status == napi_ok && ToInteger(number, 0, most)) {
      *word = static_cast<Word>(number);
      return true;
    }
    char what[64];
    snprintf(what, sizeof(what), "an integer from 0 to %lld", static_cast<long long>(most));
    ThrowExpected(env, status == napi_ok ? Wrong::range : Wrong::type, what, name, value);
  }
  return false;
}

template <typename Word>
inline napi_value ToValue(napi_env env, Word word) {
  napi_value result = nullptr;
  if constexpr (sizeof(Word) == 8) {
    napi_create_bigint_uint64(env, word, &result);
  } else {
    napi_create_uint32(env, word, &result);
  }
  return result;
}

inline napi_value ThrowFault(napi_env env, uint64_t offset) {
  char message[128];
  snprintf(message, sizeof(message), "The access at offset %llu faulted: memory decode is off or the device is gone",
           static_cast<unsigned long long>(offset));
  napi_throw_error(env, "ERR_VFIO_BUS_FAULT", message);
  return nullptr;
}
