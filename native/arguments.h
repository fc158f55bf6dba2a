// Takes and checks the arguments of a call. Every misuse is a TypeError or RangeError of one form:
// "Expected an integer from 0 to 2147483647 for fd but received -1".
//
// May assume nothing about the values; runs no JavaScript of the caller's (no valueOf, no toString of an object).
#pragma once

#include <cmath>
#include <cstdio>
#include <cstring>

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
inline napi_value ToResult(napi_env env, int64_t result) {
  napi_value value = nullptr;
  napi_create_int64(env, result, &value);
  return value;
}

// Memory of the caller's, for the duration of the call. Null if it has no bytes, so that a pointer to nowhere never
// reaches the kernel.
struct Bytes {
  void* data;
  size_t length;
};

// The arguments of one call. The first that is wrong throws and makes `failed()` true; after it, taking others does
// nothing, so a function takes all of them and asks once.
class Arguments {
 public:
  Arguments(napi_env env, napi_callback_info info) : env_(env) {
    size_t count = sizeof(values_) / sizeof(values_[0]);
    void* data = nullptr;
    napi_get_cb_info(env, info, &count, values_, nullptr, &data);  // absent ones become undefined
    environment_ = static_cast<Environment*>(data);
  }

  bool failed() const { return failed_; }
  napi_env env() const { return env_; }
  Environment& environment() const { return *environment_; }
  napi_value operator[](size_t index) const { return values_[index]; }

  int64_t Integer(size_t index, const char* name, int64_t least, int64_t most) {
    if (failed_) return 0;
    double number = 0;
    const napi_status status = napi_get_value_double(env_, values_[index], &number);
    if (status == napi_ok && ToInteger(number, least, most)) return static_cast<int64_t>(number);
    char what[96];
    snprintf(what, sizeof(what), "an integer from %lld to %lld", static_cast<long long>(least), static_cast<long long>(most));
    Refuse(status == napi_ok ? Wrong::range : Wrong::type, what, name, index);
    return 0;
  }

  int Int(size_t index, const char* name) { return static_cast<int>(Integer(index, name, 0, kMostInt)); }

  int Fd(size_t index) { return Int(index, "fd"); }

  bool IsType(size_t index, napi_valuetype expected) const {
    napi_valuetype type = napi_undefined;
    napi_typeof(env_, values_[index], &type);
    return type == expected;
  }

  Bytes Uint8Array(size_t index, const char* name) {
    if (failed_) return {nullptr, 0};
    bool isArray = false;
    napi_typedarray_type type = napi_int8_array;
    Bytes bytes = {nullptr, 0};
    napi_is_typedarray(env_, values_[index], &isArray);
    if (!isArray ||
        napi_get_typedarray_info(env_, values_[index], &type, &bytes.length, &bytes.data, nullptr, nullptr) != napi_ok ||
        type != napi_uint8_array) {
      Refuse(Wrong::type, "a Uint8Array", name, index);
      return {nullptr, 0};
    }
    if (bytes.length == 0) bytes.data = nullptr;
    return bytes;
  }

  // The handle of a `T`, open or not.
  template <typename T>
  T* Handle(size_t index, const char* what, const char* name) {
    if (failed_) return nullptr;
    T* handle = environment_->Find<T>(env_, values_[index]);
    if (handle == nullptr) Refuse(Wrong::type, what, name, index);
    return handle;
  }

  void Refuse(Wrong wrong, const char* what, const char* name, size_t index) {
    if (!failed_) ThrowExpected(env_, wrong, what, name, values_[index]);
    failed_ = true;
  }

 private:
  napi_env env_;
  Environment* environment_ = nullptr;
  napi_value values_[5];
  bool failed_ = false;
};
