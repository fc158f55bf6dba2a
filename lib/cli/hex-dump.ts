import { hex, hexBytes } from './hex.js';

const lineBytes = 16;

/** Lines of 16 bytes: offset, bytes, and the characters among them; lines like the one before are a `*`, as in hexdump(1). */
export function hexDump(bytes: Uint8Array, start: number, end: number): string {
  const digits = Math.max(2, (end - 1).toString(16).length);
  const lines: string[] = [];
  let previous: string | undefined;
  for (let at = 0; at < bytes.byteLength; at += lineBytes) {
    const line = textOf(bytes.subarray(at, at + lineBytes));
    const last = at + lineBytes >= bytes.byteLength;
    if (line !== previous || last) lines.push(`${hex(start + at, digits)}: ${line}`);
    else if (lines.at(-1) !== '*') lines.push('*');
    previous = line;
  }
  return lines.join('\n');
}

function textOf(bytes: Uint8Array): string {
  const characters = [...bytes].map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join('');
  return `${hexBytes(bytes).padEnd(3 * lineBytes - 1)}  ${characters}`;
}
