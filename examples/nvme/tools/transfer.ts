/** Between a namespace and a file, with several commands in flight. */
import { open, type FileHandle } from 'node:fs/promises';
import type { AddressSpace, DmaBuffer } from 'vfio';
import { pageSize } from '../layout.js';
import type { Namespace } from '../namespace.js';

/** Is told how many blocks have been moved since the last time. */
export type Progress = (blocks: number) => void;

const inFlight = 8;
const mostBytesOfPart = 128 << 10;

/** Writes blocks into a new file, or over one. @throws RangeError before the file is touched; CommandError; errors of files */
export async function readToFile(
  namespace: Namespace,
  dma: AddressSpace,
  range: { readonly block: bigint; readonly count: number; readonly path: string },
  progress: Progress = () => {},
): Promise<void> {
  const { block, count, path } = range;
  namespace.assertPlain();
  namespace.assertHolds(block, count);
  const file = await open(path, 'w');
  try {
    await eachPart(namespace, dma, count, async (first, blocks, { bytes, memory }) => {
      await namespace.read(block + BigInt(first), blocks, memory);
      await writeWhole(file, bytes, first * namespace.blockSize);
      progress(blocks);
    });
  } finally {
    await file.close();
  }
}

/**
 * Writes a file's bytes to blocks. Returns how many blocks. `pad`: its last block is filled up with zeros.
 * @throws RangeError before anything is written; CommandError; errors of files
 */
export async function writeFromFile(
  namespace: Namespace,
  dma: AddressSpace,
  range: { readonly block: bigint; readonly path: string; readonly pad?: boolean },
  progress: Progress = () => {},
): Promise<number> {
  const { block, path, pad = false } = range;
  const { blockSize } = namespace;
  namespace.assertPlain();
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    if (size === 0) throw new RangeError(`${path} is empty`);
    if (size % blockSize !== 0 && !pad)
      throw new RangeError(
        `${path} has ${size} bytes, which is no multiple of the block of ${blockSize}; padding fills the last block up with zeros`,
      );
    const count = Math.ceil(size / blockSize);
    namespace.assertHolds(block, count);
    await eachPart(namespace, dma, count, async (first, blocks, { bytes, memory }) => {
      await readWhole(file, bytes, first * blockSize, Math.min(bytes.byteLength, size - first * blockSize));
      await namespace.write(block + BigInt(first), blocks, memory);
      progress(blocks);
    });
    return count;
  } finally {
    await file.close();
  }
}

interface Part {
  /** Of just that many blocks. */
  readonly bytes: Uint8Array;
  readonly memory: { readonly iova: bigint; readonly size: number };
}

/** Moves parts, several at once, each in memory of its own. After a failure no other part is begun; all that were have ended. */
async function eachPart(
  { blockSize }: Namespace,
  dma: AddressSpace,
  count: number,
  move: (first: number, blocks: number, part: Part) => Promise<void>,
): Promise<void> {
  const blocksOfPart = Math.max(1, Math.floor(mostBytesOfPart / blockSize));
  const size = Math.ceil((blocksOfPart * blockSize) / pageSize) * pageSize;
  using buffer = dma.allocate(inFlight * size);
  let next = 0;
  const mover = async (offset: number): Promise<void> => {
    while (next < count) {
      const first = next;
      const blocks = Math.min(blocksOfPart, count - first);
      next += blocks;
      try {
        await move(first, blocks, part(buffer, offset, size, blocks * blockSize));
      } catch (error) {
        next = count;
        throw error;
      }
    }
  };
  const movers = await Promise.allSettled(Array.from({ length: inFlight }, (_, index) => mover(index * size)));
  for (const outcome of movers) if (outcome.status === 'rejected') throw outcome.reason;
}

function part({ memory, iova }: DmaBuffer, offset: number, size: number, bytes: number): Part {
  return { bytes: new Uint8Array(memory, offset, bytes), memory: { iova: iova + BigInt(offset), size } };
}

async function writeWhole(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength; )
    done += (await file.write(bytes, done, bytes.byteLength - done, position + done)).bytesWritten;
}

/** The rest of `bytes` becomes 0. */
async function readWhole(file: FileHandle, bytes: Uint8Array, position: number, length: number): Promise<void> {
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(bytes, done, length - done, position + done);
    if (bytesRead === 0) throw new Error(`The file has become shorter than ${position + length} bytes`);
    done += bytesRead;
  }
  bytes.fill(0, length);
}
