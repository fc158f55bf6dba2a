/** The walk through a guest's page table: Arm's with pages of 4 KiB, as an SMMU's first stage reads it. */
import type { GuestMemory, Translation } from '../../first-stage/walk.js';
import { bits } from './bits.js';

const inputSize = bits(5, 0);
const granule = bits(7, 6);
const walksDisabled = bits(14);
const bigEndian = bits(15);
const contextValid = bits(31);
const sixtyFourBits = bits(41);
const asid = bits(63, 48);
const tableBase = bits(51, 4);

const present = 1n << 0n;
/** Above the lowest level, that it leads to a table; at the lowest, that it is a page. */
const tableOrPage = 1n << 1n;
const readOnly = 1n << 7n;
const accessed = 1n << 10n;
const accessNotChecked = bits(35);
const addressBits = 0x0000_ffff_ffff_f000n;
/** In a table entry: pages below can only be read. */
const tableReadOnly = 1n << 62n;
const levels = 4;

/** A context descriptor: the page table of a stream. */
export interface Context {
  readonly root: bigint;
  /** Bits of the addresses that it translates. */
  readonly width: number;
  readonly asid: number;
  readonly checksAccess: boolean;
}

/** Numbers of the events, as hardware writes them. */
export type WalkEvent = 0x0a | 0x10 | 0x12;
const badContext = 0x0a;
const translationFault = 0x10;
const accessFault = 0x12;

/** The descriptor at an address of the guest, or the event that it is. */
export function readContext(memory: GuestMemory, at: bigint): Context | WalkEvent {
  const [first, second] = [readWord(memory, at), readWord(memory, at + 8n)];
  if (first === undefined || second === undefined) return badContext;
  const width = 64 - Number(inputSize.get(first));
  const usable =
    contextValid.get(first) === 1n &&
    sixtyFourBits.get(first) === 1n &&
    bigEndian.get(first) === 0n &&
    granule.get(first) === 0n &&
    walksDisabled.get(first) === 0n &&
    width >= 25 &&
    width <= 48;
  if (!usable) return badContext;
  return {
    root: second & tableBase.mask,
    width,
    asid: Number(asid.get(first)),
    checksAccess: accessNotChecked.get(first) === 0n,
  };
}

/** The page, or the event that it is. */
export function walk(memory: GuestMemory, { root, width, checksAccess }: Context, address: bigint): Translation | WalkEvent {
  if (address >> BigInt(width) !== 0n) return translationFault;
  let base = root;
  let writable = true;
  for (let level = levels - Math.ceil((width - 12) / 9); ; level += 1) {
    const shift = BigInt(12 + 9 * (levels - 1 - level));
    const entry = readWord(memory, base + ((address >> shift) & 0x1ffn) * 8n);
    if (entry === undefined || (entry & present) === 0n) return translationFault;
    const last = level === levels - 1;
    if (!last && (entry & tableOrPage) !== 0n) {
      writable &&= (entry & tableReadOnly) === 0n;
      base = entry & addressBits;
      continue;
    }
    // At the top there are no blocks, and at the bottom nothing but pages.
    if (level === 0 || (last && (entry & tableOrPage) === 0n)) return translationFault;
    if (checksAccess && (entry & accessed) === 0n) return accessFault;
    const size = 1n << shift;
    const start = address - (address % size);
    writable &&= (entry & readOnly) === 0n;
    return { start, last: start + size - 1n, output: entry & addressBits & -size, writable, user: true, dirty: true };
  }
}

function readWord(memory: GuestMemory, at: bigint): bigint | undefined {
  const mapping = memory.at(at);
  if (mapping === undefined || !mapping.readable) return undefined;
  const bytes = new Uint8Array(8);
  mapping.pin.read(Number(at - mapping.start), bytes);
  return new DataView(bytes.buffer).getBigUint64(0, true);
}
