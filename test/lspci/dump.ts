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
