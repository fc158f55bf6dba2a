const held = new Set<ArrayBuffer>();

/**
 * Runs `use` with the memory held. A struct points to memory by a number, which the garbage collector does not see: memory
 * that only the kernel still reads could be gone by then.
 */
export function hold<T>(memory: ArrayBuffer, use: () => T): T {
  held.add(memory);
  try {
    return use();
  } finally {
    held.delete(memory);
  }
}
