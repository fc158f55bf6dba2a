/** Bytes of configuration space as text, in the form that `lspci -xxxx` prints and `lspci -F` reads. */
import { parseAddress } from '../../pci/address.js';
import { Misuse } from '../exit.js';
import { hexBytes, hex } from '../hex.js';

const sizes: readonly number[] = [64, 256, 4096];

/** Lines of 16 bytes, each with its offset. */
export function dumpLines(bytes: Uint8Array): string[] {
  return Array.from({ length: bytes.byteLength / 16 }, (_, row) => {
    const start = row * 16;
    return `${hex(start, 2)}: ${hexBytes(bytes.subarray(start, start + 16))}`;
  });
}

/**
 * The bytes that a text has of a device. It may have several devices, as what `lspci -xxxx` prints.
 * @throws Misuse, which names the file, where there are none or not as many as a configuration space has.
 */
export function parseDump(text: string, address: string, file: string): Uint8Array {
  const bytes: number[] = [];
  let current: string | undefined;
  for (const line of text.split('\n')) {
    const [, offset, values] = /^([0-9a-f]{2,3}):((?: [0-9a-f]{2}){1,16})\s*$/i.exec(line) ?? [];
    if (offset === undefined || values === undefined) {
      const heading = /^((?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])( |$)/i.exec(line)?.[1];
      if (heading !== undefined) current = parseAddress(heading);
    } else if (current === address) {
      const start = Number.parseInt(offset, 16);
      if (start !== bytes.length) throw new Misuse(`${file} has no byte ${hex(bytes.length, 2)} of ${address} where it should be`);
      bytes.push(
        ...values
          .trim()
          .split(' ')
          .map((value) => Number.parseInt(value, 16)),
      );
    }
  }
  if (bytes.length === 0) throw new Misuse(`${file} has no configuration space of ${address}, as --save and lspci -xxxx write it`);
  if (!sizes.includes(bytes.length)) throw new Misuse(`${file} has ${bytes.length} bytes of ${address}, and not ${sizes.join(', ')}`);
  return Uint8Array.from(bytes);
}
