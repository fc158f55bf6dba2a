/** Numbers and bytes in hexadecimal digits, as the commands print them. */

/** With zeros before it: 'beef' of 8 digits is '0000beef'. */
export function hex(value: number | bigint, digits: number): string {
  return value.toString(16).padStart(digits, '0');
}

/** '8086:10d3' */
export function idsText({ vendor, device }: { readonly vendor: number; readonly device: number }): string {
  return `${hex(vendor, 4)}:${hex(device, 4)}`;
}

/** '0x0000beef': all digits that a value of so many bits has. */
export function hexValue(value: number | bigint, bits: number): string {
  return `0x${hex(value, bits / 4)}`;
}

/** 'de ad be ef' */
export function hexBytes(bytes: Uint8Array): string {
  return [...bytes].map((byte) => hex(byte, 2)).join(' ');
}
