// Calls every export of the addon with random arguments of every JavaScript type. Run by fuzz.test.ts in a process of
// its own: <addon> <seed> <calls>, in a folder of its own. Ends with a line of counts; anything but a clean refusal or a
// result ends it with status 1.
//
// What is random is kept from doing damage: fds that are open are scratch ones, a request for an open fd never writes
// more than it is given, and big mappings reserve nothing.
import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setImmediate as turn } from 'node:timers/promises';

const [addonPath, seed, total] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const addon = createRequire(import.meta.url)(addonPath);

let state = seed >>> 0;
function random() {
  state = (state + 0x6d2b79f5) >>> 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}
const below = (end) => Math.floor(random() * end);
const pick = (...choices) => choices[below(choices.length)];
const chance = (share) => random() < share;

const file = openSync('scratch', 'w+');
ftruncateSync(file, 1 << 16);
const event = addon.eventfd(0, 0x800);
const zero = openSync('/dev/zero', 'r+');
const sealed = addon.memfd('sealed', 1 << 16, 2);
const scratch = [file, event, zero, sealed];

let ranUserCode = 0;
const spy = () => {
  ranUserCode += 1;
  return 0;
};
const trap = {
  valueOf: spy,
  toString: spy,
  [Symbol.toPrimitive]: spy,
  get length() {
    return spy();
  },
};
const detached = new Uint8Array(16);
structuredClone(detached.buffer, { transfer: [detached.buffer] });
const resizable = new ArrayBuffer(64, { maxByteLength: 4096 });
const growing = new Uint8Array(resizable);
const outOfBounds = new Uint8Array(new ArrayBuffer(64, { maxByteLength: 128 }), 32, 32);
outOfBounds.buffer.resize(8);
const stream = new (process.binding('js_stream').JSStream)();
const stranger = stream._externalStream; // an External that is not the addon's

const mappings = [];
/** Mappings of memory that cannot fault: the others' must not be touched from here. */
const anonymous = new WeakSet();
/** Mappings that are more than there may be memory for. */
const vast = new WeakSet();
const watches = [];
const buffers = [];
/** Keeps `value`; what it takes the place of is forgotten. */
function keep(list, value) {
  if (list.length < 24) return void list.push(value);
  const place = below(list.length);
  if (list === watches) addon.watchStop(list[place]); // nobody could stop it any more
  list[place] = value;
}

const integer = () =>
  pick(
    () => below(8),
    () => below(256),
    () => below(65536),
    () => below(2 ** 32),
    () => below(2 ** 53),
    () => -below(2 ** 31) - 1,
    () => 2 ** below(64),
    () => 2 ** below(64) - 1,
    () => -(2 ** below(64)),
    () => below(64) * 4096,
  )();
const oddNumber = () => pick(NaN, Infinity, -Infinity, -0, 0.5, 1e-300, 1.7e308, 2 ** 53, 2 ** 53 + 2, 4294967295.5, random());
const bigint = () => pick(0n, 1n, -1n, 2n ** 63n, 2n ** 64n - 1n, 2n ** 64n, -(2n ** 63n), 1n << 5000n, BigInt(below(2 ** 32)));
const text = () => pick('', 'scratch', 'absent', './scratch', 'a\0b', '\0', 'é漢\ud800', 'x'.repeat(below(9000)), '5', '%s%n%n', '-1');
const bytes = () =>
  pick(
    () => new Uint8Array(below(64)),
    () => new Uint8Array(4096),
    () => new Uint8Array(1 << 20),
    () => Buffer.alloc(below(100)),
    () => new Uint8Array(100).subarray(below(50), 50 + below(50)),
    () => new Uint8Array(new SharedArrayBuffer(below(64))),
    () => new Uint8Array(0),
    () => new Uint8Array(new ArrayBuffer(8), 8),
    () => growing,
    () => new Uint8Array(64),
  )();
const wrongObject = () =>
  pick(
    {},
    [],
    [1, 2],
    trap,
    new Proxy(new Uint8Array(8), {}),
    new Proxy(spy, {}),
    new Date(0),
    /x/,
    new Map(),
    Promise.resolve(),
    detached,
    outOfBounds,
    new Uint8ClampedArray(8),
    new Uint16Array(8),
    new Int32Array(4),
    new Float64Array(8),
    new BigInt64Array(8),
    new DataView(new ArrayBuffer(8)),
    new ArrayBuffer(0),
    new ArrayBuffer(16),
    resizable,
    detached.buffer,
    stream,
    new SharedArrayBuffer(16),
    stranger,
    Object.create(null),
    Object.create(Uint8Array.prototype),
    globalThis,
    new Number(3),
    new String('x'),
    Object(1n),
    spy,
    class {},
    Symbol('s'),
    Symbol.iterator,
  );
const anything = () =>
  pick(
    () => undefined,
    () => null,
    () => chance(0.5),
    integer,
    integer,
    oddNumber,
    bigint,
    text,
    bytes,
    wrongObject,
    wrongObject,
    () => pick(undefined, ...mappings),
    () => pick(undefined, ...watches),
    () => pick(undefined, ...buffers),
  )();

const fd = () => (chance(0.7) ? pick(...scratch) : anything());
const mapping = () => (chance(0.9) && mappings.length > 0 ? pick(...mappings) : anything());
const watch = () => (chance(0.9) && watches.length > 0 ? pick(...watches) : anything());
const or = (usual) => (chance(0.8) ? usual() : anything());
const offset = () => or(() => pick(below(1 << 16), below(1 << 14) * 8, below(1 << 14) * 4, below(2 ** 53)));

const calls = {
  open: () => [or(text), or(() => pick(0, 1, 2, 0o102, 0o1002, below(2 ** 31)))],
  close: () => [anything()],
  ioctl: () => [fd(), or(() => pick(0x541b, 0xdeadbeef)), or(() => pick(new Uint8Array(4096), undefined, below(4096)))],
  ioctlMany: () => {
    const count = below(9);
    const structs = () => new Uint8Array(count * pick(0, 32, 64, 4096));
    return [
      fd(),
      or(() => pick(0x541b, 0xdeadbeef)),
      or(pick(structs, structs, bytes)),
      or(() => new Int32Array(pick(count, count, below(9)))),
    ];
  },
  ioctlAsync: () => [fd(), or(() => pick(0x541b, 0xdeadbeef)), or(pick(() => new Uint8Array(64), bytes)), or(() => pick(undefined, fd()))],
  read: () => [fd(), or(bytes)],
  write: () => [fd(), or(bytes)],
  pread: () => [fd(), or(bytes), offset()],
  pwrite: () => [fd(), or(bytes), or(() => below(1 << 16))],
  eventfd: () => [or(() => below(2 ** 32)), or(() => pick(0, 0x800, 1, below(2 ** 31)))],
  memfd: () => [or(text), or(() => pick(0, 4096, below(2 ** 53))), or(() => pick(0, 1, 2, 4, below(2 ** 32)))],
  addressOf: () => [anything()],
  mmap: () => [
    chance(0.4) ? -1 : fd(),
    or(() => pick(4096, 8192, below(1 << 20), 1 << 20, below(2 ** 47))),
    or(() => pick(3, 3, 3, 1, 2, 0)),
    or(() => pick(0x22, 0x22, 0x21, 1, 1, 2, below(2 ** 31))),
    or(() => pick(0, 0, 4096, below(16) * 4096, below(2 ** 53))),
    or(() => pick(undefined, undefined, 0, below(1024))),
  ],
  mappingMemory: () => [mapping()],
  mappingRegisters: () => [mapping()],
  populateAsync: () => [mapping()],
  unmap: () => [mapping()],
  watch: () => [fd(), chance(0.8) ? () => {} : anything()],
  watchCount: () => [chance(0.7) ? event : fd(), chance(0.8) ? () => {} : anything()],
  watchRef: () => [watch()],
  watchUnref: () => [watch()],
  watchStop: () => [watch()],
};
for (const width of [8, 16, 32, 64]) {
  const value = () => (width === 64 ? bigint() : pick(below(2 ** width), integer()));
  calls[`mmioRead${width}`] = () => [mapping(), offset()];
  calls[`mmioWrite${width}`] = () => [mapping(), offset(), or(value)];
  const bits = () => (width === 64 ? pick(0n, 1n, bigint()) : pick(0, 1, below(2 ** width)));
  calls[`mmioPoll${width}`] = () => [mapping(), offset(), or(bits), or(bits), or(() => pick(0, 0.001, 0.1, random() / 10))];
}
const words = () =>
  pick(
    () => new Uint8Array(below(64)),
    () => new Uint16Array(below(64)),
    () => new Uint32Array(below(64)),
    () => new Uint32Array(new SharedArrayBuffer(64)),
    () => new BigUint64Array(below(8)),
    () => growing,
    bytes,
  )();
calls.mmioReadRange = () => [mapping(), offset(), or(words)];
calls.mmioWriteList = () => {
  const values = or(words);
  const count = chance(0.9) && ArrayBuffer.isView(values) ? Math.min(values.length ?? 0, 64) : below(64);
  return [mapping(), or(() => Uint32Array.from({ length: count }, () => pick(below(64) * 8, below(1 << 14)))), values];
};
const names = Object.keys(addon);
for (const name of names) if (calls[name] === undefined) throw new Error(`no arguments are known for ${name}`);

/** Whether an ioctl has room for its answer there. What only looks like an array never gets that far. */
function longEnough(array) {
  try {
    return array.byteLength === 0 || array.byteLength >= 64;
  } catch {
    return true;
  }
}

/** Whether each struct has room for an answer. */
function roomy(structs, results) {
  try {
    return structs.byteLength === 0 || !(results instanceof Int32Array) || structs.byteLength / results.length >= 64;
  } catch {
    return true;
  }
}

/** The arguments, made harmless. */
function tame(name, values) {
  const takesFd = ['close', 'ioctl', 'ioctlMany', 'ioctlAsync', 'read', 'write', 'pread', 'pwrite', 'mmap', 'watch', 'watchCount'].includes(
    name,
  );
  const open = scratch.includes(values[0]);
  if (takesFd && Number.isInteger(values[0]) && values[0] >= 0 && values[0] < 1000 && !open) values[0] = 1_000_000 + values[0];
  if (takesFd && Object.is(values[0], -0)) values[0] = 1_000_000;
  if (name === 'close' && open) values[0] = 1_000_000;
  if ((name === 'ioctl' || name === 'ioctlAsync') && open && Number.isInteger(values[1])) {
    values[1] = pick(0x541b, 0xdeadbeef);
    if (values[2] instanceof Uint8Array && !longEnough(values[2])) values[2] = new Uint8Array(64);
    if (typeof values[2] === 'number' && values[2] >= 4096 && values[2] < 2 ** 53) values[2] = below(4096);
  }
  if (name === 'ioctlMany' && open && Number.isInteger(values[1])) {
    values[1] = pick(0x541b, 0xdeadbeef);
    if (values[2] instanceof Uint8Array && !roomy(values[2], values[3])) values[2] = new Uint8Array(64 * 9);
  }
  if (name === 'mmap' && Number.isInteger(values[3]) && values[3] >= 0 && values[3] < 2 ** 31) {
    values[3] &= ~0xa000; // neither populated nor locked
    if (typeof values[1] === 'number' && values[1] > 1 << 20) values[3] |= 0x4000;
  }
  if (name === 'populateAsync' && vast.has(values[0])) values[0] = undefined;
  if (chance(0.05)) values.length = below(values.length + 1);
  if (chance(0.05)) values.push(anything(), anything(), anything());
  return values;
}

const counts = { calls: 0, results: 0, errors: 0, refused: 0 };
for (; counts.calls < total; counts.calls += 1) {
  const name = pick(...names);
  const values = tame(name, calls[name]());
  try {
    const result = addon[name](...values);
    counts[typeof result === 'number' && result < 0 ? 'errors' : 'results'] += 1;
    if (['open', 'eventfd', 'memfd'].includes(name) && result >= 0) closeSync(result);
    if (name === 'mmap' && typeof result === 'object') {
      keep(mappings, result);
      if ((values[3] & 0x20) !== 0) anonymous.add(result);
      if (values[1] > 1 << 20) vast.add(result);
    }
    if (name.startsWith('watch') && typeof result === 'object') keep(watches, result);
    if (name === 'mappingMemory' && result !== undefined) {
      keep(buffers, result);
      if (anonymous.has(values[0]) && result.byteLength > 0 && result.byteLength <= 1 << 20) new Uint8Array(result).fill(counts.calls);
    }
  } catch (error) {
    counts.refused += 1;
    const known =
      /^Expected .+ for [\w[\]]+ but received |^The mapping is /.test(error.message) ||
      ['ERR_VFIO_BUS_FAULT', 'ERR_BUFFER_TOO_LARGE'].includes(error.code);
    if (!known) {
      console.error('call', counts.calls, name, values, error);
      process.exit(1);
    }
  }
  if (counts.calls % 97 === 0) ftruncateSync(file, pick(0, 4096, 1 << 16));
  if (counts.calls % 50 === 0) await turn();
  if (counts.calls % 500 === 0) {
    if (chance(0.5)) mappings.length = 0;
    for (const each of watches.splice(0)) addon.watchStop(each);
    buffers.length = 0;
    globalThis.gc();
  }
}
// The process ends by itself if no watch that keeps it alive is left.
for (const each of watches) addon.watchStop(each);
if (ranUserCode > 0) throw new Error(`the addon ran ${ranUserCode} functions of its arguments`);
console.log(JSON.stringify(counts));
