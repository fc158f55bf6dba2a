import { decodeConfigSpace, type ConfigSpace } from '../../pci/config-space/config-space.js';
import { hex } from '../hex.js';

/** What two configuration spaces have otherwise, in as many bytes as both have. */
export interface Difference {
  /** By its name: 'header.command.busMaster', 'MSI at 50.control.enable'; undefined where one has no such field. */
  readonly fields: readonly { readonly name: string; readonly before: unknown; readonly now: unknown }[];
  readonly bytes: readonly { readonly offset: number; readonly before: number; readonly now: number }[];
  /** Bytes that were compared. */
  readonly compared: number;
}

export function difference(before: Uint8Array, now: Uint8Array): Difference {
  const compared = Math.min(before.byteLength, now.byteLength);
  const [old, current] = [before, now].map((bytes) => fieldsOf(decodeConfigSpace(bytes.subarray(0, compared)))) as [Fields, Fields];
  const names = [...new Set([...old.keys(), ...current.keys()])];
  return {
    fields: names.map((name) => ({ name, before: old.get(name), now: current.get(name) })).filter((field) => field.before !== field.now),
    bytes: [...now.subarray(0, compared)].flatMap((byte, offset) => {
      const old = before[offset] ?? 0;
      return old === byte ? [] : [{ offset, before: old, now: byte }];
    }),
    compared,
  };
}

type Fields = Map<string, unknown>;

function fieldsOf({ header, capabilities, extendedCapabilities }: ConfigSpace): Fields {
  const fields: Fields = new Map();
  collect('header', header, fields);
  for (const { name, offset, registers } of [...capabilities, ...extendedCapabilities])
    collect(`${name} at ${offset.toString(16)}`, registers, fields);
  return fields;
}

function collect(name: string, value: unknown, into: Fields): void {
  if (typeof value !== 'object' || value === null) into.set(name, value);
  else for (const [key, part] of Object.entries(value)) collect(`${name}.${key}`, part, into);
}

export function differenceText({ fields, bytes, compared }: Difference): string {
  if (bytes.length === 0) return `no difference in ${compared} bytes`;
  const words = (value: unknown): string => {
    if (value === undefined) return 'not there';
    return typeof value === 'number' || typeof value === 'bigint' ? `0x${value.toString(16)}` : String(value);
  };
  return [
    ...fields.map(({ name, before, now }) => `${name}: ${words(before)} -> ${words(now)}`),
    ...bytes.map(({ offset, before, now }) => `${hex(offset, 3)}: ${hex(before, 2)} -> ${hex(now, 2)}`),
  ].join('\n');
}
