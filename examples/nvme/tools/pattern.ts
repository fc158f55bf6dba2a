/**
 * What a block holds, by its number, how often it was written, and a seed: the first two, to be found again in a block that is
 * where it should not be, and a sequence that all three begin. It is made and compared word by word.
 */
const step = 0x9e37_79b1 | 0;

/** Puts a block's contents in so many words from `at` on. */
export function fillBlock(words: Int32Array, at: number, count: number, block: number, generation: number, seed: number): void {
  words[at] = block;
  words[at + 1] = generation;
  let word = begin(block, generation, seed);
  for (let index = at + 2; index < at + count; index += 1) {
    words[index] = word;
    word = (word + step) | 0;
  }
}

/** The first word, counted from the block's first, that is not what it should be; -1 when all are. */
export function wrongWord(words: Int32Array, at: number, count: number, block: number, generation: number, seed: number): number {
  if (words[at] !== (block | 0)) return 0;
  if (words[at + 1] !== (generation | 0)) return 1;
  let word = begin(block, generation, seed);
  for (let index = at + 2; index < at + count; index += 1) {
    if (words[index] !== word) return index - at;
    word = (word + step) | 0;
  }
  return -1;
}

function begin(block: number, generation: number, seed: number): number {
  let word = Math.imul(block ^ seed, 0x85eb_ca6b) + Math.imul(generation, 0xc2b2_ae35);
  word = Math.imul(word ^ (word >>> 15), 0x2c1b_3c6d);
  return word ^ (word >>> 13);
}
