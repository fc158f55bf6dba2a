/** The walk through a guest's page table: x86's, with four or five levels, as VT-d's first stage reads it. */
import type { DmaMapping } from '../dma.js';
import type { Interval } from '../interval-map.js';

const present = 1n << 0n;
const writable = 1n << 1n;
const user = 1n << 2n;
const accessed = 1n << 5n;
const dirty = 1n << 6n;
const large = 1n << 7n;
const extendedAccessed = 1n << 10n;
const addressBits = 0x000f_ffff_ffff_f000n;
/** The page attribute bit of a large page, the one bit below its address that may be set. */
const largeAttribute = 1n << 12n;

/** The guest's memory: the second stage's mappings. */
export interface GuestMemory {
  at(address: bigint): DmaMapping | undefined;
}

export interface PageTable {
  /** Where the top-level table lies in the guest's memory. */
  readonly root: bigint;
  readonly levels: 4 | 5;
  readonly supervisorRequests: boolean;
  /** The extended access bit is set in entries that are used. */
  readonly extendedAccess: boolean;
}

/** What an access asks of a page. */
export interface Wanted {
  readonly write: boolean;
  readonly privileged: boolean;
}

/** A page and where it lies in the guest's memory. */
export interface Translation extends Interval {
  readonly output: bigint;
  readonly writable: boolean;
  readonly user: boolean;
  /** The walk marked it written: the next write need not walk again. */
  readonly dirty: boolean;
}

export interface WalkFault {
  readonly reason: 'no page' | 'not permitted' | 'table not reachable';
  /** The entry that could not be read or updated. */
  readonly fetchAddress?: bigint;
  /** Another table might have the page: a device may ask for it. */
  readonly recoverable: boolean;
}

/** Supervisor requests may write what is read-only: the bind data has no flag that would forbid it. */
export function permits(page: Translation, { write, privileged }: Wanted): boolean {
  return privileged || (page.user && (!write || page.writable));
}

export function walk(memory: GuestMemory, table: PageTable, address: bigint, wanted: Wanted): Translation | WalkFault {
  const width = 12 + 9 * table.levels;
  if (BigInt.asUintN(64, BigInt.asIntN(width, address)) !== address) return { reason: 'no page', recoverable: false };
  if (wanted.privileged && !table.supervisorRequests) return { reason: 'not permitted', recoverable: false };
  const used: { at: bigint; entry: bigint }[] = [];
  let mayWrite = true;
  let isUser = true;
  let base = table.root;
  for (let level = table.levels as number; ; level -= 1) {
    const shift = BigInt(12 + 9 * (level - 1));
    const at = base + ((address >> shift) & 0x1ffn) * 8n;
    const entry = readEntry(memory, at);
    if (entry === undefined) return { reason: 'table not reachable', fetchAddress: at, recoverable: false };
    if ((entry & present) === 0n) return { reason: 'no page', recoverable: true };
    used.push({ at, entry });
    mayWrite &&= (entry & writable) !== 0n;
    isUser &&= (entry & user) !== 0n;
    const leaf = level === 1 || (entry & large) !== 0n;
    if (!leaf) {
      base = entry & addressBits;
      continue;
    }
    const size = 1n << shift;
    const misplaced = (entry & addressBits & (size - 1n) & ~largeAttribute) !== 0n;
    if (level > 3 || misplaced) return { reason: 'no page', recoverable: false };
    const start = address - (address % size);
    const output = entry & addressBits & ~(size - 1n);
    const isDirty = wanted.write || (entry & dirty) !== 0n;
    const page = { start, last: start + size - 1n, output, writable: mayWrite, user: isUser, dirty: isDirty };
    if (!permits(page, wanted)) return { reason: 'not permitted', recoverable: true };
    return mark(memory, table, used, wanted.write) ?? page;
  }
}

/** Sets the bits that tell the guest which entries were used, and which page was written. */
function mark(
  memory: GuestMemory,
  { extendedAccess }: PageTable,
  used: readonly { at: bigint; entry: bigint }[],
  written: boolean,
): WalkFault | undefined {
  for (const [index, { at, entry }] of used.entries()) {
    const isLeaf = index === used.length - 1;
    const marked = entry | accessed | (extendedAccess ? extendedAccessed : 0n) | (isLeaf && written ? dirty : 0n);
    if (marked === entry) continue;
    if (!writeEntry(memory, at, marked)) return { reason: 'table not reachable', fetchAddress: at, recoverable: false };
  }
  return undefined;
}

function readEntry(memory: GuestMemory, at: bigint): bigint | undefined {
  const mapping = memory.at(at);
  if (mapping === undefined || !mapping.readable) return undefined;
  const bytes = new Uint8Array(8);
  mapping.pin.read(Number(at - mapping.start), bytes);
  return new DataView(bytes.buffer).getBigUint64(0, true);
}

function writeEntry(memory: GuestMemory, at: bigint, entry: bigint): boolean {
  const mapping = memory.at(at);
  if (mapping?.writable !== true) return false;
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, entry, true);
  mapping.pin.write(Number(at - mapping.start), bytes);
  return true;
}
