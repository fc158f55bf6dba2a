// Register access: one volatile load or store of exactly the given width per call.
//
// May assume what mmio.h says.
#include "mmio.h"

namespace {

template <typename Word>
napi_value ReadWord(napi_env env, napi_callback_info info) {
  napi_value values[2];
  size_t count = 2;
  void* data = nullptr;
  napi_get_cb_info(env, info, &count, values, nullptr, &data);
  const Place place = Locate<Word>(env, data, values[0], values[1], PROT_READ);
  if (place.address == nullptr) return nullptr;
  Word word = 0;
  const bool survived = Survives([&word, address = place.address] {
    word = LoadWord<Word>(address);
    OrderAfterRead();
  });
  return survived ? ToValue<Word>(env, word) : ThrowFault(env, place.offset);
}

template <typename Word>
napi_value WriteWord(napi_env env, napi_callback_info info) {
  napi_value values[3];
  size_t count = 3;
  void* data = nullptr;
  napi_get_cb_info(env, info, &count, values, nullptr, &data);
  const Place place = Locate<Word>(env, data, values[0], values[1], PROT_WRITE);
  Word word = 0;
  if (place.address == nullptr || !TakeWord<Word>(env, values[2], "value", &word)) return nullptr;
  const bool survived = Survives([word, address = place.address] {
    OrderBeforeWrite();
    StoreWord<Word>(address, word);
  });
  return survived ? nullptr : ThrowFault(env, place.offset);
}

}  // namespace

napi_value MmioRead8(napi_env env, napi_callback_info info) { return ReadWord<uint8_t>(env, info); }
napi_value MmioRead16(napi_env env, napi_callback_info info) { return ReadWord<uint16_t>(env, info); }
napi_value MmioRead32(napi_env env, napi_callback_info info) { return ReadWord<uint32_t>(env, info); }
napi_value MmioRead64(napi_env env, napi_callback_info info) { return ReadWord<uint64_t>(env, info); }
napi_value MmioWrite8(napi_env env, napi_callback_info info) { return WriteWord<uint8_t>(env, info); }
napi_value MmioWrite16(napi_env env, napi_callback_info info) { return WriteWord<uint16_t>(env, info); }
napi_value MmioWrite32(napi_env env, napi_callback_info info) { return WriteWord<uint32_t>(env, info); }
napi_value MmioWrite64(napi_env env, napi_callback_info info) { return WriteWord<uint64_t>(env, info); }
