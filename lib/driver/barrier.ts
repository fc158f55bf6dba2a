const word = new Int32Array(new SharedArrayBuffer(4));

/**
 * Orders all accesses to memory before it with all after it, as devices and other threads see them: the `smp_mb` of C. A driver
 * needs it where it writes memory and then reads memory that the device writes, to see whether the device has looked: the event
 * index of a shadow doorbell.
 *
 * Not for doorbells: a register write through `mmio` or `fastMmio` comes after what was written to memory before, and memory
 * read after a register is newer than it. Nor for a `volatile` field of a descriptor: what is read after it is newer, too.
 */
export function memoryBarrier(): void {
  // A read, a write and an exchange of one word is all that JavaScript has; the exchange is locked on x86, and ordered both ways on ARM.
  Atomics.exchange(word, 0, 0);
}
