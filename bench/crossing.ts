/** From JavaScript to C and back, with as little there as can be: a system call that is refused at once, and no system call. */
import { native } from 'vfio';
import { ffiNapi } from './ffi-napi.js';
import { beside, floor } from './floor.js';
import { koffi } from './koffi.js';
import type { Other } from './other.js';

/** Of no open file. */
const fd = 2 ** 30;
const c = floor(`
  static uint8_t memory[32]; volatile uint64_t address;
  MEASURE("close", 1000000, close(${fd}));
  MEASURE("addressOf", 100000000, address = (uint64_t)memory);`);

const kernel = native();
const memory = new ArrayBuffer(32);
const bytes = new Uint8Array(memory);
const tasks = {
  close: () => void kernel.close(fd),
  addressOf: () => void kernel.addressOf(memory),
};
const byKoffi = {
  close: () => void koffi.close(fd),
  addressOf: () => void koffi.addressOf(bytes),
};
const byFfiNapi = (ffi: Other) => ({
  close: () => void ffi.close(fd),
  addressOf: () => void ffi.addressOf(bytes),
});
await beside('A call of C', c, tasks, 100, {
  others: { koffi: byKoffi, 'ffi-napi': ffiNapi && byFfiNapi(ffiNapi) },
});
