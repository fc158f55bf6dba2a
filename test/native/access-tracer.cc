// Tells every access of the processor to one range of memory: start(address, length), and stop(), which answers a list such as
// ['R4@8', 'W8@16']: read or written, bytes, offset. 'M' is a store of an instruction that also reads, as xchg does; '?' and
// the instruction's bytes stand for one that is not known.
//
// How: the range is closed to everything. An access faults; the handler notes it, opens the range and lets the processor make
// this one instruction; the trap after it closes the range again.
//
// May assume: Linux on x86-64, and that nothing but the thread that called start() touches the range until it calls stop().
#include <node_api.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

namespace {

constexpr greg_t kTrapFlag = 0x100;
constexpr greg_t kWriteFault = 2;
constexpr size_t kMostAccesses = 4096;
constexpr size_t kInstructionBytes = 8;

struct Access {
  uint64_t offset;
  bool write;
  uint8_t instruction[kInstructionBytes];
};

uint8_t* start = nullptr;
size_t length = 0;
size_t count = 0;
Access accesses[kMostAccesses];
struct sigaction previous_fault;
struct sigaction previous_trap;

void OnFault(int, siginfo_t* details, void* context) {
  greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const uint8_t* address = static_cast<uint8_t*>(details->si_addr);
  if (address < start || address >= start + length) {
    // Not ours. Returning repeats it, for who was here before.
    sigaction(SIGSEGV, &previous_fault, nullptr);
    return;
  }
  if (count < kMostAccesses) {
    Access& access = accesses[count];
    access.offset = address - start;
    access.write = (registers[REG_ERR] & kWriteFault) != 0;
    memcpy(access.instruction, reinterpret_cast<void*>(registers[REG_RIP]), kInstructionBytes);
  }
  count += 1;
  mprotect(start, length, PROT_READ | PROT_WRITE);
  registers[REG_EFL] |= kTrapFlag;
}

void OnTrap(int, siginfo_t*, void* context) {
  static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_EFL] &= ~kTrapFlag;
  mprotect(start, length, PROT_NONE);
}

// What one instruction does to memory, as far as it is one of those that move or compare a single value.
struct Operation {
  int width;  // 0: not known
  bool plain; // it stores without reading
};

Operation Decode(const uint8_t* instruction) {
  int operand = 4;
  bool locked = false;
  for (;; instruction += 1) {
    if (*instruction == 0x66) {
      operand = 2;
    } else if (*instruction == 0xf0) {
      locked = true;
    } else {
      break;
    }
  }
  if ((*instruction & 0xf0) == 0x40) {  // REX
    if ((*instruction & 8) != 0) operand = 8;
    instruction += 1;
  }
  const uint8_t opcode = *instruction;
  if (opcode == 0x0f) {  // movzx, movsx
    const uint8_t second = instruction[1];
    if (second == 0xb6 || second == 0xbe) return {1, false};
    if (second == 0xb7 || second == 0xbf) return {2, false};
    return {0, false};
  }
  if (opcode == 0x63) return {4, false};  // movsxd
  const int width = (opcode & 1) == 0 ? 1 : operand;
  const bool move = (opcode >= 0x88 && opcode <= 0x8b) || opcode == 0xc6 || opcode == 0xc7;
  const bool arithmetic = (opcode < 0x40 && (opcode & 4) == 0) || (opcode >= 0x80 && opcode <= 0x87) || opcode == 0xf6 || opcode == 0xf7;
  if (move || arithmetic) return {width, move && !locked};
  return {0, false};
}

void Describe(const Access& access, char* text, size_t size) {
  const Operation operation = Decode(access.instruction);
  if (operation.width == 0) {
    int written = snprintf(text, size, "?");
    for (const uint8_t byte : access.instruction) written += snprintf(text + written, size - written, "%02x", byte);
    snprintf(text + written, size - written, "@%llu", static_cast<unsigned long long>(access.offset));
    return;
  }
  const char kind = !access.write ? 'R' : operation.plain ? 'W' : 'M';
  snprintf(text, size, "%c%d@%llu", kind, operation.width, static_cast<unsigned long long>(access.offset));
}

napi_value Start(napi_env env, napi_callback_info info) {
  napi_value values[2];
  size_t given = 2;
  napi_get_cb_info(env, info, &given, values, nullptr, nullptr);
  uint64_t address = 0;
  bool lossless = false;
  double bytes = 0;
  if (napi_get_value_bigint_uint64(env, values[0], &address, &lossless) != napi_ok ||
      napi_get_value_double(env, values[1], &bytes) != napi_ok) {
    napi_throw_type_error(env, nullptr, "Expected an address and a length");
    return nullptr;
  }
  start = reinterpret_cast<uint8_t*>(address);
  length = static_cast<size_t>(bytes);
  count = 0;
  struct sigaction action = {};
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  action.sa_sigaction = OnFault;
  sigaction(SIGSEGV, &action, &previous_fault);
  action.sa_sigaction = OnTrap;
  sigaction(SIGTRAP, &action, &previous_trap);
  mprotect(start, length, PROT_NONE);
  return nullptr;
}

napi_value Stop(napi_env env, napi_callback_info) {
  mprotect(start, length, PROT_READ | PROT_WRITE);
  sigaction(SIGSEGV, &previous_fault, nullptr);
  sigaction(SIGTRAP, &previous_trap, nullptr);
  napi_value list = nullptr;
  napi_create_array(env, &list);
  for (size_t index = 0; index < count && index < kMostAccesses; index += 1) {
    char text[64];
    Describe(accesses[index], text, sizeof(text));
    napi_value value = nullptr;
    napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);
    napi_set_element(env, list, static_cast<uint32_t>(index), value);
  }
  return list;
}

}  // namespace

NAPI_MODULE_INIT() {
  const napi_property_descriptor exported[] = {
      {"start", nullptr, Start, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"stop", nullptr, Stop, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
  };
  napi_define_properties(env, exports, 2, exported);
  return exports;
}
