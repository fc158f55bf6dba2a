const perWord = 32;
const wordsPerBlock = 1024;
const perBlock = wordsPerBlock * perWord;

/**
 * Numbered pages as bits: a million of them that lie near each other fit into a processor's cache. A block of bits stays once
 * there was a page in it: 4 KiB for 128 MiB of addresses.
 */
export class PageSet {
  readonly #blocks = new Map<number, Int32Array>();

  add(start: number, count: number): void {
    const end = start + count;
    for (let word = wordOf(start); word * perWord < end; word += 1) {
      const number = Math.floor(word / wordsPerBlock);
      let block = this.#blocks.get(number);
      if (block === undefined) this.#blocks.set(number, (block = new Int32Array(wordsPerBlock)));
      block[word % wordsPerBlock]! |= bits(word, start, end);
    }
  }

  /** @returns whether all of them were in the set. */
  delete(start: number, count: number): boolean {
    const end = start + count;
    // Of a range that is longer than all blocks, some pages are not in the set, and the blocks are looked at alone.
    if (count > this.#blocks.size * perBlock) {
      for (const number of this.#blocks.keys()) this.#deleteWords(number * wordsPerBlock, (number + 1) * wordsPerBlock, start, end);
      return false;
    }
    return this.#deleteWords(wordOf(start), wordOf(end - 1) + 1, start, end);
  }

  #deleteWords(first: number, behind: number, start: number, end: number): boolean {
    let all = true;
    for (let word = first; word < behind; word += 1) {
      const block = this.#blocks.get(Math.floor(word / wordsPerBlock));
      const had = block?.[word % wordsPerBlock] ?? 0;
      const wanted = bits(word, start, end);
      if ((had & wanted) !== wanted) all = false;
      if (block !== undefined) block[word % wordsPerBlock] = had & ~wanted;
    }
    return all;
  }
}

function wordOf(page: number): number {
  return Math.floor(page / perWord);
}

/** Those of the word's bits that stand for pages from `start` on and before `end`. */
function bits(word: number, start: number, end: number): number {
  const first = Math.max(start - word * perWord, 0);
  const behind = Math.min(end - word * perWord, perWord);
  return behind <= first ? 0 : (-1 >>> (perWord - (behind - first))) << first;
}
