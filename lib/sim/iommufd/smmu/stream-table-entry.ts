/** What a guest says of a stream: the first two words of its entry, as arm_smmu_validate_vste takes them. */
import { errno } from '../../../abi/errno.js';
import { bits, union } from './bits.js';

const valid = bits(0);
const configuration = bits(3, 1);
const format = bits(5, 4);
const contextPointer = bits(51, 6);
const contexts = bits(63, 59);
const withoutSubstream = bits(1, 0);
const attributes = bits(7, 2);
const stalls = bits(27);
const translationService = bits(29, 28);

const allowed = [
  union(valid, configuration, format, contextPointer, contexts),
  union(withoutSubstream, attributes, stalls, translationService),
] as const;

const kinds: Readonly<Record<string, StreamTableEntry['kind']>> = { '0': 'abort', '4': 'bypass', '5': 'translate' };

export interface StreamTableEntry {
  readonly kind: 'abort' | 'bypass' | 'translate';
  /** It has a page table, whether the hardware takes it or not. */
  readonly hasTable: boolean;
  /** Where the context descriptor lies. */
  readonly context: bigint;
}

/** The entry, or -errno. One that is not valid aborts. */
export function decodeEntry([first, second]: readonly [bigint, bigint]): StreamTableEntry | number {
  if (valid.get(first) === 0n) return { kind: 'abort', hasTable: false, context: 0n };
  if ((first & ~allowed[0]) !== 0n || (second & ~allowed[1]) !== 0n) return -errno.EIO;
  const kind = kinds[String(configuration.get(first))];
  // Translations ahead of time are on or off; nothing in between.
  if (kind === undefined || translationService.get(second) > 1n) return -errno.EIO;
  // The driver leaves it to the hardware to find that there are no substreams that need more than one descriptor.
  const hasTable = kind === 'translate';
  const usable = !hasTable || contexts.get(first) === 0n;
  return { kind: usable ? kind : 'abort', hasTable, context: first & contextPointer.mask };
}
