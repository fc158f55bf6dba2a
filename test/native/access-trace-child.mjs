// Prints what reaches memory when the accessors are called, cold and in the code of each of V8's compilers. Run by
// access-trace.test.ts with --allow-natives-syntax: <tracer>. One JSON object: by accessor, by compiler, by pattern and width.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { native } from 'vfio';
import { MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE } from 'vfio/abi';

const tracer = createRequire(import.meta.url)(process.argv[2]);
const length = 4096;

/** A mapping as a device's is: of a file, so that nobody is given its memory. */
function map() {
  const kernel = native();
  const fd = kernel.memfd('access-trace', length, 0);
  const mapping = kernel.mmap(fd, length, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
  kernel.close(fd);
  return mapping;
}
const address = () => BigInt(`0x${/^([0-9a-f]+)-.*memfd:access-trace/m.exec(readFileSync('/proc/self/maps', 'latin1'))[1]}`);

/** What a driver may write, which a compiler may think it can do with less. Each is compiled anew, for each compiler. */
const patterns = {
  unused: 'mmio.readN(8);',
  twice: 'mmio.readN(8); return mmio.readN(8);',
  sum: 'const a = mmio.readN(8); const b = mmio.readN(8); return a + b;',
  loop: 'let sum = ZERO; for (let i = 0; i < 4; i += 1) sum += mmio.readN(8); return sum;',
  spin: 'let turns = 0; while (mmio.readN(8) === ZERO && turns < 20) turns += 1; return turns;',
  neighbours: 'return mmio.readN(0) + mmio.readN(8);',
  same: 'mmio.writeN(8, ONE); mmio.writeN(8, ONE);',
  over: 'mmio.writeN(8, ONE); mmio.writeN(8, ZERO);',
  stores: 'for (let i = 0; i < 4; i += 1) mmio.writeN(8, ONE);',
  forward: 'mmio.writeN(8, ZERO); return mmio.readN(8);',
  order: 'mmio.writeN(0, ZERO); mmio.readN(8); mmio.writeN(16, ZERO); return mmio.readN(24);',
  modify: 'mmio.writeN(8, mmio.readN(8) & ONE);',
  high: 'return mmio.readN(8) + ONE;',
  range: 'mmio.readRange(16, into);',
  list: 'mmio.writeList(offsets, values);',
  at_once: 'return mmio.pollN(8, { mask: ONE, wanted: ZERO, timeoutMilliseconds: 100 });',
  one_look: 'return mmio.pollN(8, { mask: ONE, wanted: ONE, timeoutMilliseconds: 0 });',
};
const arrays = { 8: Uint8Array, 16: Uint16Array, 32: Uint32Array, 64: BigUint64Array };

/** The function, its accesses bound to `bits`. */
function compile(body, bits, mmio) {
  const big = bits === 64 ? 'n' : '';
  const source = body
    .replaceAll(/(read|write|poll)N/g, `$1${bits}`)
    .replaceAll('ZERO', `0${big}`)
    .replaceAll('ONE', `1${big}`);
  const offsets = Uint32Array.of(24, 8, 8);
  const array = arrays[bits];
  return new Function('mmio', 'into', 'offsets', 'values', `return function pattern() { ${source} }`)(
    mmio,
    new array(4),
    offsets,
    new array(3),
  );
}

function trace(address, run) {
  tracer.start(address, length);
  try {
    run();
  } finally {
    trace.list = tracer.stop();
  }
  return trace.list;
}

const intrinsic = (name) => new Function('run', `%${name}(run)`);
const prepare = intrinsic('PrepareFunctionForOptimization');
const compilers = {
  interpreter: () => {},
  baseline: intrinsic('CompileBaseline'),
  // Node has it from version 24 on.
  ...(Number.parseInt(process.versions.node, 10) >= 24 && { maglev: intrinsic('OptimizeMaglevOnNextCall') }),
  turbofan: intrinsic('OptimizeFunctionOnNextCall'),
};

/** Trained on small values, as a register holds until the day it does not. */
function train(run, compileWith) {
  prepare(run);
  for (let i = 0; i < 20; i += 1) run();
  compileWith(run);
}

/** Forms that are wrong for registers: that they are seen to be. */
function wrongForms() {
  const kernel = native();
  const mapping = kernel.mmap(-1, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0);
  const words = new Uint32Array(mapping.memory);
  const view = new DataView(mapping.memory);
  const forms = {
    dropped: () => void words[2],
    exchanged: () => void Atomics.store(words, 2, 1),
    torn: () => view.getUint32(8, true),
  };
  for (const name of ['dropped', 'exchanged']) train(forms[name], compilers.turbofan);
  const start = kernel.addressOf(mapping.memory);
  const seen = Object.fromEntries(Object.entries(forms).map(([name, form]) => [name, trace(start, form)]));
  mapping.unmap();
  return seen;
}

const mapping = map();
const place = address();
const seen = { wrong: wrongForms() };
for (const accessor of ['mmio', 'fastMmio']) {
  seen[accessor] = {};
  for (const [compiler, compileWith] of Object.entries(compilers)) {
    const results = (seen[accessor][compiler] = {});
    for (const [name, body] of Object.entries(patterns)) {
      for (const bits of [8, 16, 32, 64]) {
        const run = compile(body, bits, mapping[accessor]);
        mapping.mmio.write64(8, 0n);
        if (compiler !== 'interpreter') train(run, compileWith);
        if (name === 'high') mapping.mmio.write64(8, 2n ** 64n - 1n);
        results[`${name} ${bits}`] = trace(place, run);
      }
    }
  }
}
mapping.unmap();
console.log(JSON.stringify(seen));
