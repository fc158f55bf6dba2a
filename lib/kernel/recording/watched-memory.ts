import { packBytes } from './bytes.js';
import type { Change } from './entries.js';

/** Compared at once; within it, from the first byte that differs to the last. */
const blockSize = 4096;
/** A device may write while its bytes are copied: they are copied until they stay, at most so often. */
const mostCopies = 4;

/** Memory that others write, and what was in it when it was last looked at. */
export class WatchedMemory {
  readonly #watched = new Map<number, { readonly live: Buffer; readonly known: Buffer }>();

  get size(): number {
    return this.#watched.size;
  }

  /** From now on, under this number. */
  add(id: number, memory: ArrayBuffer): void {
    const live = Buffer.from(memory);
    this.#watched.set(id, { live, known: Buffer.from(live) });
  }

  remove(id: number): void {
    this.#watched.delete(id);
  }

  /** What changed since it was last asked. */
  changes(): Change[] {
    const changes: Change[] = [];
    for (const [id, { live, known }] of this.#watched) {
      if (live.equals(known)) continue;
      for (let start = 0; start < live.byteLength; start += blockSize) {
        const change = takeChange(live.subarray(start, start + blockSize), known.subarray(start, start + blockSize));
        if (change !== undefined) changes.push([id, start + change.offset, packBytes(change.bytes)]);
      }
    }
    return changes;
  }
}

/** Brings `known` up to date with `live`; gives where they differed, and what is there now. */
function takeChange(live: Buffer, known: Buffer): { readonly offset: number; readonly bytes: Uint8Array } | undefined {
  if (live.equals(known)) return undefined;
  const now = Buffer.from(live);
  for (let copies = 1; copies < mostCopies && !live.equals(now); copies += 1) now.set(live);
  let first = 0;
  let end = now.byteLength;
  while (first < end && now[first] === known[first]) first += 1;
  while (end > first && now[end - 1] === known[end - 1]) end -= 1;
  known.set(now);
  return first === end ? undefined : { offset: first, bytes: now.subarray(first, end) };
}
