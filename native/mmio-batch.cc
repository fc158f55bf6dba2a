// Many register accesses in one call: a range read, a list written, a register polled. Each access is what the single
// form makes; all of it is checked before the first.
//
// May assume what mmio.h says, and that another thread may change the contents of shared arrays at any time.
#include <ctime>

#include "mmio.h"

namespace {

// A poll holds up everything else of its thread.
constexpr double kLongestPoll = 1000;

// An array of register values, one of the four whose elements are registers' widths.
struct RegisterValues {
  size_t width;  // 0: an exception is pending
  void* data;
  size_t count;
};

RegisterValues TakeRegisterValues(napi_env env, napi_value value, const char* name) {
  napi_typedarray_type type = napi_int8_array;
  RegisterValues words = {0, nullptr, 0};
  if (napi_get_typedarray_info(env, value, &type, &words.count, &words.data, nullptr, nullptr) == napi_ok) {
    if (type == napi_uint8_array) words.width = 1;
    if (type == napi_uint16_array) words.width = 2;
    if (type == napi_uint32_array) words.width = 4;
    if (type == napi_biguint64_array) words.width = 8;
  }
  if (words.width == 0) {
    ThrowExpected(env, Wrong::type, "a Uint8Array, Uint16Array, Uint32Array or BigUint64Array", name, value);
  }
  return words;
}

template <typename Word>
napi_value ReadRange(napi_env env, void* data, const napi_value* values, const RegisterValues& into) {
  const Place place = Locate<Word>(env, data, values[0], values[1], PROT_READ, into.count);
  if (place.address == nullptr) return nullptr;
  volatile size_t done = 0;
  // Volatile, so that at a fault everything read before it has arrived.
  volatile Word* const words = static_cast<volatile Word*>(into.data);
  const bool survived = Survives([&done, words, &into, address = place.address] {
    for (size_t index = 0; index < into.count; index += 1) {
      done = index;
      words[index] = LoadWord<Word>(address + index * sizeof(Word));
    }
    OrderAfterRead();
  });
  return survived ? nullptr : ThrowFault(env, place.offset + done * sizeof(Word));
}

napi_value ThrowMisplacedElement(napi_env env, size_t width, int64_t most, size_t index, uint32_t offset) {
  char name[48];
  snprintf(name, sizeof(name), "offsets[%zu]", index);
  napi_value received = nullptr;
  napi_create_uint32(env, offset, &received);
  return ThrowMisplaced(env, Wrong::range, width, most, name, received);
}

template <typename Word>
napi_value WriteList(napi_env env, const Mapping* mapping, const RegisterValues& offsets, const RegisterValues& values) {
  constexpr size_t width = sizeof(Word);
  const int64_t most = static_cast<int64_t>(mapping->length) - static_cast<int64_t>(width);
  const auto misplaced = [most](uint32_t offset) { return offset > most || offset % width != 0; };
  const volatile uint32_t* const places = static_cast<const volatile uint32_t*>(offsets.data);
  const volatile Word* const words = static_cast<const volatile Word*>(values.data);
  for (size_t index = 0; index < offsets.count; index += 1) {
    const uint32_t offset = places[index];
    if (misplaced(offset)) return ThrowMisplacedElement(env, width, most, index, offset);
  }
  if (!Allows(env, mapping, PROT_WRITE)) return nullptr;
  volatile size_t done = 0;
  volatile uint32_t at = 0;
  volatile bool changed = false;
  const bool survived = Survives([&, address = mapping->address] {
    for (size_t index = 0; index < offsets.count && !changed; index += 1) {
      const uint32_t offset = places[index];
      done = index;
      at = offset;
      // Again: another thread may have changed it since.
      changed = misplaced(offset);
      if (changed) break;
      const Word word = words[index];
      OrderBeforeWrite();
      StoreWord<Word>(address + offset, word);
    }
  });
  if (!survived) return ThrowFault(env, at);
  return changed ? ThrowMisplacedElement(env, width, most, done, at) : nullptr;
}

double Now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

template <typename Word>
napi_value PollWord(napi_env env, napi_callback_info info) {
  napi_value values[5];
  size_t count = 5;
  void* data = nullptr;
  napi_get_cb_info(env, info, &count, values, nullptr, &data);
  const Place place = Locate<Word>(env, data, values[0], values[1], PROT_READ);
  Word mask = 0;
  Word wanted = 0;
  if (place.address == nullptr || !TakeWord<Word>(env, values[2], "mask", &mask) ||
      !TakeWord<Word>(env, values[3], "wanted", &wanted)) {
    return nullptr;
  }
  if ((wanted & mask) != wanted) return ThrowExpected(env, Wrong::range, "only bits of mask", "wanted", values[3]);
  double timeout = 0;
  const napi_status status = napi_get_value_double(env, values[4], &timeout);
  if (status != napi_ok || !(timeout >= 0 && timeout <= kLongestPoll)) {
    const Wrong wrong = status == napi_ok ? Wrong::range : Wrong::type;
    return ThrowExpected(env, wrong, "a number from 0 to 1000", "timeoutMilliseconds", values[4]);
  }
  volatile Word word = 0;
  volatile bool matched = false;
  const bool survived = Survives([=, &word, &matched, address = place.address] {
    const auto look = [=, &word] {
      const Word value = LoadWord<Word>(address);
      OrderAfterRead();
      word = value;
      return (value & mask) == wanted;
    };
    matched = look();
    if (matched) return;
    const double end = Now() + timeout;
    // The last look comes after the end, so that a thread that was held up meanwhile still finds what came in time.
    for (bool late = timeout == 0; !late && !matched;) {
      late = Now() >= end;
      matched = look();
    }
  });
  if (!survived) return ThrowFault(env, place.offset);
  return matched ? ToValue<Word>(env, word) : nullptr;
}

}  // namespace

napi_value MmioReadRange(napi_env env, napi_callback_info info) {
  napi_value values[3];
  size_t count = 3;
  void* data = nullptr;
  napi_get_cb_info(env, info, &count, values, nullptr, &data);
  if (TakeOpen(env, data, values[0]) == nullptr) return nullptr;
  const RegisterValues into = TakeRegisterValues(env, values[2], "into");
  if (into.width == 1) return ReadRange<uint8_t>(env, data, values, into);
  if (into.width == 2) return ReadRange<uint16_t>(env, data, values, into);
  if (into.width == 4) return ReadRange<uint32_t>(env, data, values, into);
  if (into.width == 8) return ReadRange<uint64_t>(env, data, values, into);
  return nullptr;
}

napi_value MmioWriteList(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  size_t count = 3;
  void* data = nullptr;
  napi_get_cb_info(env, info, &count, arguments, nullptr, &data);
  const Mapping* mapping = TakeOpen(env, data, arguments[0]);
  if (mapping == nullptr) return nullptr;
  napi_typedarray_type type = napi_int8_array;
  RegisterValues offsets = {sizeof(uint32_t), nullptr, 0};
  const napi_status status = napi_get_typedarray_info(env, arguments[1], &type, &offsets.count, &offsets.data, nullptr, nullptr);
  if (status != napi_ok || type != napi_uint32_array) {
    return ThrowExpected(env, Wrong::type, "a Uint32Array", "offsets", arguments[1]);
  }
  const RegisterValues values = TakeRegisterValues(env, arguments[2], "values");
  if (values.width == 0) return nullptr;
  if (values.count != offsets.count) {
    char what[64];
    snprintf(what, sizeof(what), "as many as the %zu offsets", offsets.count);
    napi_value received = nullptr;
    napi_create_double(env, static_cast<double>(values.count), &received);
    return ThrowExpected(env, Wrong::range, what, "values", received);
  }
  if (values.width == 1) return WriteList<uint8_t>(env, mapping, offsets, values);
  if (values.width == 2) return WriteList<uint16_t>(env, mapping, offsets, values);
  if (values.width == 4) return WriteList<uint32_t>(env, mapping, offsets, values);
  return WriteList<uint64_t>(env, mapping, offsets, values);
}

napi_value MmioPoll8(napi_env env, napi_callback_info info) { return PollWord<uint8_t>(env, info); }
napi_value MmioPoll16(napi_env env, napi_callback_info info) { return PollWord<uint16_t>(env, info); }
napi_value MmioPoll32(napi_env env, napi_callback_info info) { return PollWord<uint32_t>(env, info); }
napi_value MmioPoll64(napi_env env, napi_callback_info info) { return PollWord<uint64_t>(env, info); }
