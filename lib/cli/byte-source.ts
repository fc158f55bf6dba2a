import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** Bytes of which a part can be looked at. */
export interface ByteSource {
  readonly length: number;
  /** Those from `start` to `end`, or as many of them as there are; valid until the next call. */
  read(start: number, end: number): Buffer;
  [Symbol.dispose](): void;
}

/** Bytes that are there already. */
export function bytesSource(bytes: Uint8Array): ByteSource {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { length: buffer.length, read: (start, end) => buffer.subarray(start, end), [Symbol.dispose]: () => undefined };
}

/** A file of this machine, of which no more is read than is asked for; undefined where there is none that can be read. */
export function fileSource(path: string): ByteSource | undefined {
  const fd = openIfAny(path);
  if (fd === undefined) return undefined;
  const stats = fstatSync(fd);
  if (!stats.isFile()) return void closeSync(fd);
  let buffer = Buffer.alloc(0);
  return {
    length: stats.size,
    read: (start, end) => {
      // One for all: in new memory each page costs as much as reading it.
      if (buffer.length < end - start) buffer = Buffer.allocUnsafeSlow(end - start);
      return buffer.subarray(0, readSync(fd, buffer, 0, end - start, start));
    },
    [Symbol.dispose]: () => closeSync(fd),
  };
}

function openIfAny(path: string): number | undefined {
  try {
    return openSync(path, 'r');
  } catch {
    return undefined;
  }
}
