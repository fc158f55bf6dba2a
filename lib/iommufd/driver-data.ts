/** Structs for the driver of an IOMMU, which /dev/iommu hands on by their address. */
import type { Kernel } from '../kernel/kernel.js';
import { hold } from '../kernel/hold.js';

/** A struct of `vfio/abi`, as its `create()` makes it; or bytes in it. */
export interface DriverData {
  readonly bytes: Uint8Array;
}

/** Runs `call` with the address of a copy of the bytes, one struct behind the other. What the driver wrote is in them afterwards. */
export function withDriverData<T>(kernel: Kernel, data: readonly DriverData[], call: (address: bigint) => T): T {
  const length = data.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
  if (length === 0) return call(0n);
  const memory = new ArrayBuffer(length);
  const parts: { bytes: Uint8Array; copy: Uint8Array }[] = [];
  let at = 0;
  for (const { bytes } of data) {
    const copy = new Uint8Array(memory, at, bytes.byteLength);
    copy.set(bytes);
    parts.push({ bytes, copy });
    at += bytes.byteLength;
  }
  return hold(memory, () => {
    const result = call(kernel.addressOf(memory));
    for (const { bytes, copy } of parts) bytes.set(copy);
    return result;
  });
}
