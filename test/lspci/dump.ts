/** Configuration space as `lspci -xxxx` prints it: lines like `00: 86 80 d3 10 …`. Lines of zeros may be left out. */
export function parseDump(text: string): Uint8Array {
  const lines = text.split('\n').flatMap((line) => {
    const [, offset, bytes] = /^([\da-f]{2,3}):((?: [\da-f]{2}){16})$/.exec(line) ?? [];
    return offset === undefined || bytes === undefined ? [] : [{ offset: Number.parseInt(offset, 16), bytes: bytes.trim().split(' ') }];
  });
  const last = Math.max(...lines.map(({ offset }) => offset));
  const space = new Uint8Array(last < 64 ? 64 : last < 256 ? 256 : 4096);
  for (const { offset, bytes } of lines)
    space.set(
      bytes.map((byte) => Number.parseInt(byte, 16)),
      offset,
    );
  return space;
}

/** The same the other way round; zeros that no size depends on are left out. */
export function printDump(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let offset = 0; offset < bytes.byteLength; offset += 16) {
    const row = bytes.subarray(offset, offset + 16);
    if (row.some((byte) => byte !== 0) || offset + 16 === bytes.byteLength)
      lines.push(`${offset.toString(16).padStart(2, '0')}: ${[...row].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')}`);
  }
  return `${lines.join('\n')}\n`;
}
