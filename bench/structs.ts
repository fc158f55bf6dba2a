/**
 * Descriptors of a ring in memory: an array of structs, a DataView by hand, koffi, and C. Each form is measured in a process of its
 * own, after ten other structs were used, as a program has them. `tsx bench/structs.ts FORM` prints the figures of one.
 */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { decode, encode, struct as koffiStruct } from 'koffi';
import { struct, u16, u64, u8 } from 'vfio/abi';
import { floor } from './floor.js';
import { report } from './report.js';

const size = 16;
const count = 256;
const fields = { address: u64, length: u16, offset: u8, command: u8, status: u8, start: u8, special: u16 };
const descriptor = struct('descriptor', fields);
type Ring = ReturnType<typeof descriptor.array>;

const address = 0x1_2345_6000n;
const turns = 20_000;
const rounds = 400;

/** Each does something to a descriptor after the other, round and round. */
const byStruct: Readonly<Record<string, (ring: Ring) => number>> = {
  'one field read'(ring) {
    let sum = 0;
    for (let turn = 0; turn < turns; turn += 1) sum += ring.at(turn & 255).status;
    return sum;
  },
  'one field written'(ring) {
    for (let turn = 0; turn < turns; turn += 1) ring.at(turn & 255).length = turn;
    return 0;
  },
  'all but the address read'(ring) {
    let sum = 0;
    for (let turn = 0; turn < turns; turn += 1) {
      const { length, offset, command, status, start, special } = ring.at(turn & 255);
      sum += length + offset + command + status + start + special;
    }
    return sum;
  },
  'all written'(ring) {
    for (let turn = 0; turn < turns; turn += 1) {
      const entry = ring.at(turn & 255);
      entry.address = address;
      entry.length = turn;
      entry.offset = 1;
      entry.command = 2;
      entry.status = 3;
      entry.start = 4;
      entry.special = 5;
    }
    return 0;
  },
};

const byHand: Readonly<Record<string, (view: DataView) => number>> = {
  'one field read'(view) {
    let sum = 0;
    for (let turn = 0; turn < turns; turn += 1) sum += view.getUint8((turn & 255) * size + 12);
    return sum;
  },
  'one field written'(view) {
    for (let turn = 0; turn < turns; turn += 1) view.setUint16((turn & 255) * size + 8, turn, true);
    return 0;
  },
  'all but the address read'(view) {
    let sum = 0;
    for (let turn = 0; turn < turns; turn += 1) {
      const at = (turn & 255) * size;
      sum += view.getUint16(at + 8, true) + view.getUint8(at + 10) + view.getUint8(at + 11);
      sum += view.getUint8(at + 12) + view.getUint8(at + 13) + view.getUint16(at + 14, true);
    }
    return sum;
  },
  'all written'(view) {
    for (let turn = 0; turn < turns; turn += 1) {
      const at = (turn & 255) * size;
      view.setBigUint64(at, address, true);
      view.setUint16(at + 8, turn, true);
      view.setUint8(at + 10, 1);
      view.setUint8(at + 11, 2);
      view.setUint8(at + 12, 3);
      view.setUint8(at + 13, 4);
      view.setUint16(at + 14, 5, true);
    }
    return 0;
  },
};

koffiStruct('descriptor', {
  address: 'uint64_t',
  length: 'uint16_t',
  offset: 'uint8_t',
  command: 'uint8_t',
  status: 'uint8_t',
  start: 'uint8_t',
  special: 'uint16_t',
});
const byKoffi: Readonly<Record<string, (bytes: Uint8Array) => number>> = {
  'one field read'(bytes) {
    let sum = 0;
    for (let turn = 0; turn < turns; turn += 1) sum += decode(bytes, (turn & 255) * size + 12, 'uint8_t');
    return sum;
  },
  'one field written'(bytes) {
    for (let turn = 0; turn < turns; turn += 1) encode(bytes, (turn & 255) * size + 8, 'uint16_t', turn);
    return 0;
  },
  'all but the address read'(bytes) {
    let sum = 0;
    for (let turn = 0; turn < turns; turn += 1) {
      const { length, offset, command, status, start, special } = decode(bytes, (turn & 255) * size, 'descriptor');
      sum += length + offset + command + status + start + special;
    }
    return sum;
  },
  'all written'(bytes) {
    for (let turn = 0; turn < turns; turn += 1) {
      const entry = { address, length: turn, offset: 1, command: 2, status: 3, start: 4, special: 5 };
      encode(bytes, (turn & 255) * size, 'descriptor', entry);
    }
    return 0;
  },
};

/** Nanoseconds of one turn: of many short rounds the quarter that others disturbed least. */
function measure(round: () => number): number {
  const times = Array.from({ length: rounds }, () => {
    const begin = process.hrtime.bigint();
    round();
    return Number(process.hrtime.bigint() - begin) / turns;
  });
  return times.sort((a, b) => a - b)[Math.floor(rounds / 4)] ?? NaN;
}

/** Structs that other parts of the program use, in code of their own, so that no accessor is made for this one alone. */
function useOthers(): void {
  const statements = Object.keys(fields).map((field) => `entry.${field} = entry.${field};`);
  for (let other = 0; other < 10; other += 1) {
    const ring = struct(`other${other}`, fields).array(new ArrayBuffer(size * count));
    new Function('ring', `for (let turn = 0; turn < ${turns}; turn += 1) { const entry = ring.at(turn & 255); ${statements.join(' ')} }`)(
      ring,
    );
  }
}

const forms: Readonly<Record<string, () => Readonly<Record<string, () => number>>>> = {
  struct() {
    useOthers();
    const ring = descriptor.array(new ArrayBuffer(size * count));
    return Object.fromEntries(Object.entries(byStruct).map(([name, use]) => [name, () => use(ring)]));
  },
  DataView() {
    const view = new DataView(new ArrayBuffer(size * count));
    return Object.fromEntries(Object.entries(byHand).map(([name, use]) => [name, () => use(view)]));
  },
  koffi() {
    const bytes = new Uint8Array(new ArrayBuffer(size * count));
    return Object.fromEntries(Object.entries(byKoffi).map(([name, use]) => [name, () => use(bytes)]));
  },
};

const [form, operation] = process.argv.slice(2);
if (form !== undefined && operation !== undefined) {
  const use = forms[form]?.()[operation];
  if (use === undefined) throw new Error(`There is no form ${form} of ${operation}`);
  console.log(measure(use));
} else {
  const c = floor(`
    static struct { uint64_t address; uint16_t length; uint8_t offset, command, status, start; uint16_t special; } ring[256];
    volatile uint64_t kept = 0; uint64_t sum = 0; const long n = 50000000;
    #define TOUCH asm volatile("" ::: "memory")
    MEASURE("read-one", n, sum += ring[i & 255].status; TOUCH);
    MEASURE("write-one", n, ring[i & 255].length = i; TOUCH);
    MEASURE("read-all", n, typeof(ring[0]) *d = &ring[i & 255];
      sum += d->length + d->offset + d->command + d->status + d->start + d->special; TOUCH);
    MEASURE("write-all", n, typeof(ring[0]) *d = &ring[i & 255]; d->address = 0x123456000; d->length = i; d->offset = 1;
      d->command = 2; d->status = 3; d->start = 4; d->special = 5; TOUCH);
    kept = sum; (void)kept;`);
  const file = fileURLToPath(import.meta.url);
  const nanoseconds = (of: string, what: string): number => Number(execFileSync('npx', ['tsx', file, of, what], { encoding: 'utf8' }));
  const inC = ['read-one', 'write-one', 'read-all', 'write-all'];
  const rows = Object.keys(byStruct).map((what, index) => {
    const inJavaScript = {
      'this package': nanoseconds('struct', what),
      DataView: nanoseconds('DataView', what),
      koffi: nanoseconds('koffi', what),
    };
    return [what, { ...inJavaScript, C: c.get(inC[index] ?? '') }] as const;
  });
  report({
    title: 'A descriptor of a ring',
    unit: 'nanoseconds',
    rows: Object.fromEntries(rows),
    floor: 'DataView',
    others: ['koffi'],
    aims: Object.fromEntries(rows.map(([name]) => [name, { times: 1.2 }])),
  });
}
