import {
  PCI_CAP_ID_EXP,
  PCI_CAP_ID_PCIX,
  PCI_CAPABILITY_LIST,
  PCI_CFG_SPACE_EXP_SIZE,
  PCI_CFG_SPACE_SIZE,
  PCI_CLASS_REVISION,
  PCI_DEVICE_ID,
  PCI_EXP_FLAGS,
  PCI_EXP_LNKCAP,
  PCI_HEADER_TYPE,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
  PCI_STD_HEADER_SIZEOF,
  PCI_VENDOR_ID,
} from '../../abi/pci.js';
import { expected } from '../../kernel/error.js';
import { capabilities, extendedCapabilities } from './capabilities.js';
import { View, type Declaration, type FunctionFacts } from './declaration.js';
import { header, type Header } from './header.js';

/** A capability, standard or extended. */
export interface Capability {
  readonly id: number;
  /** What the specification calls it; 'Unknown' if nothing is known of it. */
  readonly name: string;
  readonly offset: number;
  /** Of an extended one. */
  readonly version?: number;
  /** Bytes; of one that nothing is known of as far as it can reach. */
  readonly length: number;
  /** What its registers say, by name; of a standard one that nothing is known of the 16 bits of `flags` behind its id. */
  readonly registers: Readonly<Record<string, unknown>>;
}

/** All that configuration space says. */
export interface ConfigSpace {
  /** Bytes: 64 are what the kernel shows to those without CAP_SYS_ADMIN, 256 a device of PCI has, 4096 one of PCI Express. */
  readonly size: number;
  readonly header: Header;
  readonly capabilities: readonly Capability[];
  readonly extendedCapabilities: readonly Capability[];
  /** What is not as it should be: a chain of capabilities that loops or leads nowhere, registers beyond the end. */
  readonly problems: readonly string[];
}

const sizes: readonly number[] = [PCI_STD_HEADER_SIZEOF, PCI_CFG_SPACE_SIZE, PCI_CFG_SPACE_EXP_SIZE];

/**
 * Decodes configuration space, as sysfs has it in a device's file `config`. Whatever it holds, something comes out; what is
 * wrong with it is among the `problems`.
 *
 * @throws RangeError for other than 64, 256 or 4096 bytes.
 */
export function decodeConfigSpace(bytes: Uint8Array): ConfigSpace {
  if (!sizes.includes(bytes.byteLength)) throw expected('64, 256 or 4096 bytes', 'bytes', bytes.byteLength);
  const problems: string[] = [];
  const chain = standardChain(bytes, problems);
  const facts = factsOf(bytes, chain);
  const extended = chain.some(({ id }) => id === PCI_CAP_ID_EXP || id === PCI_CAP_ID_PCIX) ? extendedChain(bytes, problems) : [];
  if (facts.headerType > 1) problems.push(`Header type ${facts.headerType}: only what all types have is decoded`);
  const decodeAll = (places: readonly Place[], end: number, known: ReadonlyMap<number, Declaration>): Capability[] =>
    places.map((place) => {
      const limit = places.reduce((least, { offset }) => (offset > place.offset ? Math.min(least, offset) : least), end);
      return decodeCapability(bytes.subarray(0, end), place, limit, known.get(place.id), { facts, problems });
    });
  return {
    size: bytes.byteLength,
    header: header.read(new View(bytes, 0, facts), 0),
    capabilities: decodeAll(chain, Math.min(bytes.byteLength, PCI_CFG_SPACE_SIZE), capabilities),
    extendedCapabilities: decodeAll(extended, bytes.byteLength, extendedCapabilities),
    problems,
  };
}

interface Place {
  readonly id: number;
  readonly offset: number;
  readonly version?: number;
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const hexadecimal = (offset: number): string => offset.toString(16).padStart(2, '0');

/** Where the standard capabilities are. Nothing of 64 bytes: they do not reach as far. */
function standardChain(bytes: Uint8Array, problems: string[]): Place[] {
  const space = view(bytes);
  const found: Place[] = [];
  if (bytes.byteLength < PCI_CFG_SPACE_SIZE || (space.getUint16(PCI_STATUS, true) & PCI_STATUS_CAP_LIST) === 0) return found;
  if ((space.getUint8(PCI_HEADER_TYPE) & 0x7f) > 1) return found;
  for (let at = space.getUint8(PCI_CAPABILITY_LIST) & ~3; at !== 0; at = space.getUint8(at + 1) & ~3) {
    if (at < PCI_STD_HEADER_SIZEOF)
      return broken(found, problems, `The chain of capabilities leads to ${hexadecimal(at)}, into the header`);
    if (found.some(({ offset }) => offset === at)) return broken(found, problems, `The chain of capabilities loops at ${hexadecimal(at)}`);
    const id = space.getUint8(at);
    if (id === 0xff) return broken(found, problems, `The chain of capabilities leads to ${hexadecimal(at)}, where there is none`);
    found.push({ id, offset: at });
  }
  return found;
}

/** Where the extended ones are. */
function extendedChain(bytes: Uint8Array, problems: string[]): Place[] {
  const space = view(bytes);
  const found: Place[] = [];
  if (bytes.byteLength < PCI_CFG_SPACE_EXP_SIZE) return found;
  for (let at = PCI_CFG_SPACE_SIZE; at !== 0; ) {
    if (at < PCI_CFG_SPACE_SIZE)
      return broken(found, problems, `The chain of extended capabilities leads to ${hexadecimal(at)}, before the first`);
    if (found.some(({ offset }) => offset === at))
      return broken(found, problems, `The chain of extended capabilities loops at ${hexadecimal(at)}`);
    const word = space.getUint32(at, true);
    // Nothing there: a function without any has one of these at the first place.
    if (word === 0 || word === 0xffff_ffff) {
      if (found.length > 0)
        return broken(found, problems, `The chain of extended capabilities leads to ${hexadecimal(at)}, where there is none`);
      break;
    }
    found.push({ id: word & 0xffff, offset: at, version: (word >>> 16) & 0xf });
    at = (word >>> 20) & ~3;
  }
  return found;
}

function broken(found: Place[], problems: string[], problem: string): Place[] {
  problems.push(problem);
  return found;
}

function factsOf(bytes: Uint8Array, chain: readonly Place[]): FunctionFacts {
  const space = view(bytes);
  const express = chain.find(({ id, offset }) => id === PCI_CAP_ID_EXP && offset + PCI_EXP_LNKCAP + 4 <= PCI_CFG_SPACE_SIZE)?.offset;
  return {
    headerType: space.getUint8(PCI_HEADER_TYPE) & 0x7f,
    classCode: space.getUint32(PCI_CLASS_REVISION, true) >>> 8,
    vendor: space.getUint16(PCI_VENDOR_ID, true),
    device: space.getUint16(PCI_DEVICE_ID, true),
    portType: express === undefined ? undefined : (space.getUint16(express + PCI_EXP_FLAGS, true) >>> 4) & 0xf,
    linkWidth: express === undefined ? 0 : (space.getUint32(express + PCI_EXP_LNKCAP, true) >>> 4) & 0x3f,
  };
}

function decodeCapability(
  bytes: Uint8Array,
  { id, offset, version }: Place,
  limit: number,
  declared: Declaration | undefined,
  { facts, problems }: { readonly facts: FunctionFacts; readonly problems: string[] },
): Capability {
  const view = new View(bytes, offset, facts);
  const { name } = declared ?? { name: 'Unknown' };
  const registers = declared?.registers.read(view, 0) ?? (version === undefined ? { flags: view.u16(2) } : {});
  if (view.cutOff) problems.push(`${name} at ${hexadecimal(offset)} reaches beyond the end`);
  return {
    ...{ id, name, offset },
    ...(version !== undefined && { version }),
    length: declared === undefined ? limit - offset : view.end,
    registers,
  };
}
