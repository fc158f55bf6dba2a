// Takes and checks the arguments of a call. Every misuse is a TypeError or RangeError of one form:
// "Expected an integer from 0 to 2147483647 for fd but received -1".
//
// May assume nothing about the values; runs no JavaScript of the caller's (no valueOf, no toString of an object).
#pragma once

#include <cmath>
#include <cstdio>
#include <string>

#include "addon.h"

constexpr int64_t kMostInt = 0x7fff'ffff;
constexpr int64_t kMostWord = 0xffff'ffff;
// Up to here every integer is a JavaScript number of its own.
constexpr int64_t kMostSafe = (int64_t{1} << 53) - 1;
constexpr int64_t kMostLength = int64_t{1} << 47;

// `value` in a few words, for a message.
inline void Describe(napi_env env, napi_value value, char* text, size_t size) {
  napi_valuetype type = napi_undefined;
  napi_typeof(env, value, &type);
  size_t words = 0;
  switch (type) {
    case napi_string: {
      char start[64] = "";
      napi_get_value_string_utf8(env, value, start, sizeof(start), nullptr);
      snprintf(text, size, "'%s'", start);
      return;
    }
    case napi_symbol:
      snprintf(text, size, "a symbol");
      return;
    case napi_function:
      snprintf(text, size, "a function");
      return;
    case napi_bigint:
      // Printing one of a million digits would take seconds.
      if (napi_get_value_bigint_words(env, value, nullptr, &words, nullptr) != napi_ok || words > 4) {
        snprintf(text, size, "a large bigint");
        return;
      }
      break;
    case napi_undefined:
    case napi_null:
    case napi_boolean:
    case napi_number:
      break;
    default:
      snprintf(text, size, "an object");
      return;
  }
  napi_value string = nullptr;
  text[0] = '\0';
  if (napi_coerce_to_string(env, value, &string) == napi_ok) napi_get_value_string_utf8(env, string, text, size, nullptr);
}

enum class Wrong { type, range };

// Throws "Expected `what` for `name` but received …". Returns null, for the caller to return.
inline napi_value ThrowExpected(napi_env env, Wrong wrong, const char* what, const char* name, napi_value received) {
  char described[128];
  Describe(env, received, described, sizeof(described));
  char message[512];
  snprintf(message, sizeof(message), "Expected %s for %s but received %s", what, name, described);
  if (wrong == Wrong::type) {
    napi_throw_type_error(env, nullptr, message);
  } else {
    napi_throw_range_error(env, nullptr, message);
  }
  return nullptr;
}

// A whole number from `least` to `most`, or Wrong.
inline bool ToInteger(double number, int64_t least, int64_t most) {
  return number >= static_cast<double>(least) && number <= static_cast<double>(most) && std::trunc(number) == number;
}

// The result of a system call as JavaScript sees it: what it returned, or -errno.
inline Napi::Value ToResult(Napi::Env env, int64_t result) { return Napi::Number::New(env, static_cast<double>(result)); }

// Memory of the caller's, for the duration of the call. Null if it has no bytes, so that a pointer to nowhere never
// reaches the kernel.
struct Bytes {
  void* data;
  size_t length;
};
struct Words {
  int32_t* data;
  size_t length;
};

// The arguments of one call. The first that is wrong throws and makes `failed()` true; after it, taking others does
// nothing, so a function takes all of them and asks once.
class Arguments {
 public:
  explicit Arguments(const Napi::CallbackInfo& info) : info_(info) {}

  bool failed() const { return failed_; }
  Environment& environment() const { return *static_cast<Environment*>(info_.Data()); }

  int64_t Integer(size_t index, const char* name, int64_t least, int64_t most) {
    if (failed_) return 0;
    double number = 0;
    const bool isNumber = napi_get_value_double(info_.Env(), info_[index], &number) == napi_ok;
    if (isNumber && ToInteger(number, least, most)) return static_cast<int64_t>(number);
    char what[96];
    snprintf(what, sizeof(what), "an integer from %lld to %lld", static_cast<long long>(least), static_cast<long long>(most));
    Refuse(isNumber ? Wrong::range : Wrong::type, what, name, index);
    return 0;
  }

  int Int(size_t index, const char* name) { return static_cast<int>(Integer(index, name, 0, kMostInt)); }

  int Fd(size_t index) { return Int(index, "fd"); }

  // For the kernel, which takes what comes before the first zero byte.
  std::string String(size_t index, const char* name) {
    if (failed_) return {};
    if (!info_[index].IsString()) {
      Refuse(Wrong::type, "a string", name, index);
      return {};
    }
    const std::string string = info_[index].As<Napi::String>();
    if (string.find('\0') == std::string::npos) return string;
    Refuse(Wrong::range, "a string without zero bytes", name, index);
    return {};
  }

  Bytes Uint8Array(size_t index, const char* name) {
    Bytes bytes = {nullptr, 0};
    if (!failed_ && !ToBytes(index, napi_uint8_array, &bytes)) Refuse(Wrong::type, "a Uint8Array", name, index);
    return bytes;
  }

  Words Int32Array(size_t index, const char* name) {
    Bytes words = {nullptr, 0};
    if (!failed_ && !ToBytes(index, napi_int32_array, &words)) Refuse(Wrong::type, "an Int32Array", name, index);
    return {static_cast<int32_t*>(words.data), words.length};
  }

  // The third argument of ioctl(2): a number by value, or the memory a pointer would point to.
  void* Pointer(size_t index, const char* name) {
    Bytes bytes = {nullptr, 0};
    if (failed_ || ToBytes(index, napi_uint8_array, &bytes) || info_[index].IsUndefined()) return bytes.data;
    if (info_[index].IsNumber()) return reinterpret_cast<void*>(Integer(index, name, 0, kMostSafe));
    return Uint8Array(index, name).data;
  }

  // Whether `length` bytes are `count` structs; throws for `name` where they are not.
  bool Divides(size_t count, size_t length, const char* name) {
    if (count == 0 ? length == 0 : length % count == 0) return true;
    char what[64];
    snprintf(what, sizeof(what), "%zu structs of one size", count);
    napi_value received = nullptr;
    napi_create_double(info_.Env(), static_cast<double>(length), &received);
    ThrowExpected(info_.Env(), Wrong::range, what, name, received);
    failed_ = true;
    return false;
  }

  // The handle of a `T`, open or not.
  template <typename T>
  T* Handle(size_t index, const char* what, const char* name) {
    if (failed_) return nullptr;
    T* handle = environment().template Find<T>(info_.Env(), info_[index]);
    if (handle == nullptr) Refuse(Wrong::type, what, name, index);
    return handle;
  }

  void Refuse(Wrong wrong, const char* what, const char* name, size_t index) {
    if (!failed_) ThrowExpected(info_.Env(), wrong, what, name, info_[index]);
    failed_ = true;
  }

 private:
  // The elements of a typed array of that type, in one call into the engine. False for anything else.
  bool ToBytes(size_t index, napi_typedarray_type wanted, Bytes* bytes) {
    napi_typedarray_type type;
    size_t length = 0;
    void* data = nullptr;
    if (napi_get_typedarray_info(info_.Env(), info_[index], &type, &length, &data, nullptr, nullptr) != napi_ok) return false;
    if (type != wanted) return false;
    if (length > 0) *bytes = {data, length};
    return true;
  }

  const Napi::CallbackInfo& info_;
  bool failed_ = false;
};
