// The last calls of each thread, in a file that outlives the process: what it was about to do when it crashed.
import { openSync, readFileSync, writeSync } from 'node:fs';
import { types } from 'node:util';

const kept = 32;
const record = 256;
/** More threads than run at a time share a place. */
const places = 8;

/** Writes down calls before they are made. */
export class LastCalls {
  #file;
  #thread;
  #order;
  #calls = 0;

  /** `order` is shared by the threads and counts their calls. */
  constructor(path, thread, order) {
    this.#file = openSync(path, 'r+');
    this.#thread = thread;
    this.#order = order;
  }

  add(name, values, state) {
    const order = Atomics.add(this.#order, 0, 1);
    const text = `${order} thread ${this.#thread} ${name}(${values.map((value) => describe(value, state)).join(', ')})`;
    const place = (this.#thread % places) * kept + (this.#calls % kept);
    this.#calls += 1;
    writeSync(this.#file, `${text.slice(0, record / 2).padEnd(record / 2)}\n`, place * record);
  }
}

/** In order, as lines. */
export function readLastCalls(path) {
  const lines = readFileSync(path, 'latin1')
    .split(/[\n\0]+/)
    .map((line) => line.trim());
  return lines.filter(Boolean).sort((left, right) => parseInt(left, 10) - parseInt(right, 10));
}

/** Looks at nothing that could run a function of the value's. */
function describe(value, { mappings, steady, watches }) {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 20));
  if (typeof value === 'bigint') return value > 1n << 64n || value < -(1n << 64n) ? 'a large bigint' : `${value}n`;
  if (typeof value === 'symbol') return 'a symbol';
  if (Object.is(value, -0)) return '-0';
  if (types.isProxy(value)) return 'a proxy';
  if (typeof value === 'function') return 'a function';
  if (typeof value !== 'object' || value === null) return String(value);
  if (mappings.includes(value)) return `mapping ${mappings.indexOf(value)}`;
  if (steady.includes(value)) return `steady mapping ${steady.indexOf(value)}`;
  if (watches.includes(value)) return `watch ${watches.indexOf(value)}`;
  if (types.isExternal(value)) return 'an External';
  if (types.isTypedArray(value)) return `${value[Symbol.toStringTag]}(${value.length})`;
  if (types.isAnyArrayBuffer(value)) return `ArrayBuffer(${value.byteLength})`;
  return 'an object';
}
