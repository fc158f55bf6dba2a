/** Fields of 64-bit words, by their highest and lowest bit, as the architecture names them. */
export interface Bits {
  readonly mask: bigint;
  get(word: bigint): bigint;
  put(value: bigint): bigint;
}

export function bits(high: number, low: number = high): Bits {
  const width = high - low + 1;
  const [shift, mask] = [BigInt(low), ((1n << BigInt(width)) - 1n) << BigInt(low)];
  return { mask, get: (word) => (word & mask) >> shift, put: (value) => (value << shift) & mask };
}

/** All of them. */
export function union(...fields: readonly Bits[]): bigint {
  return fields.reduce((sum, { mask }) => sum | mask, 0n);
}
