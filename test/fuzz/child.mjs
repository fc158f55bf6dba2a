// Calls every function of the addon with random arguments, in random order, on state that earlier calls left. Run by run.mjs in
// a process of its own, in a folder of its own; in threads of that, it runs again. Ends with a line of counts; anything but a
// result, a -errno or an Error that says what was wrong ends it with status 1.
import { createRequire } from 'node:module';
import { setImmediate as turn } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { Arguments } from './arguments.mjs';
import { LastCalls } from './last-calls.mjs';
import { Random } from './random.mjs';
import { State } from './state.mjs';
import { detach, ranOfValues, resize, Values } from './values.mjs';

const settings = isMainThread ? { ...JSON.parse(process.argv[2]), thread: 0, order: new Int32Array(new SharedArrayBuffer(4)) } : workerData;
const { addonPath, seed, calls: total, log, thread, device } = settings;
const random = new Random(seed + thread * 0x9e3779b9);
const addon = createRequire(import.meta.url)(addonPath);
const names = Object.keys(addon);

// A second copy of the addon, whose handles are nothing to the first.
const second = { exports: {} };
process.dlopen(second, addonPath);
const stream = new (process.binding('js_stream').JSStream)();
const strangers = [
  stream,
  stream._externalStream,
  second.exports.mmap(-1, 4096, 3, 0x22, 0),
  second.exports.watch(second.exports.eventfd(0, 0), () => {}),
];

const state = new State(addon);
const asks = device === undefined ? new Map() : await openDevice();
const requests = { of: (fd) => asks.get(fd)?.() };
const values = new Values(random, strangers);
const made = new Arguments({ random, values, state, callback, requests });
const lastCalls = new LastCalls(log, thread, settings.order);

const functions = Object.fromEntries(names.map((name) => [name, { calls: 0, results: 0, errors: 0, refused: 0 }]));
let callbacks = 0;
let threads = 0;

function fail(...what) {
  console.error(`seed ${seed}, thread ${thread}:`, ...what);
  process.exit(1);
}

/** What is asked of the files of a real device, by fd. They stay open until the process ends. */
async function openDevice() {
  process.env.VFIO_ADDON = addonPath;
  const { open } = await import('./device.mjs');
  return open(random, state, device);
}

/** What callbacks throw on purpose. */
const thrown = new Error('thrown by a callback');
process.on('uncaughtException', (error) => {
  if (error !== thrown) fail('uncaught', error);
});

function wellKnown(error) {
  if (!(error instanceof Error)) return false;
  return (
    /^Expected .+ for [\w[\]]+ but received |^The mapping is |^Maximum call stack size exceeded$/.test(error.message) ||
    ['ERR_VFIO_BUS_FAULT', 'ERR_BUFFER_TOO_LARGE'].includes(error.code)
  );
}

function count(name, result) {
  if (typeof result === 'number' && result < 0 && (!Number.isInteger(result) || result < -4095)) fail(name, 'returned', result);
  functions[name][typeof result === 'number' && result < 0 ? 'errors' : 'results'] += 1;
}

function step() {
  const name = random.pick(...names);
  const given = made.for(name);
  lastCalls.add(name, given, state);
  functions[name].calls += 1;
  const call = () => addon[name](...given);
  try {
    const result = random.chance(0.001) ? atTheEndOfTheStack(call) : call();
    // Its argument may be gone, or shorter, before it is done.
    if (name === 'ioctlAsync' && random.chance(0.1) && given[2]?.constructor === Uint8Array && given[2].byteLength === 64)
      detach(given[2].buffer);
    if (result instanceof Promise) {
      result.then(
        (value) => count(name, value),
        (error) => fail(name, 'rejected', error),
      );
      return;
    }
    count(name, result);
    state.take(random, name, given, result);
  } catch (error) {
    if (error === thrown) throw error;
    if (!wellKnown(error)) fail(name, given, error);
    functions[name].refused += 1;
  }
}

/** Makes the call with as little stack left as it can be made with. */
function atTheEndOfTheStack(call) {
  let done = false;
  let result;
  let refusal;
  const dive = () => {
    try {
      dive();
    } catch {
      if (done) return;
      try {
        result = call();
        done = true;
      } catch (other) {
        if (other instanceof RangeError && /call stack/.test(other.message)) throw other;
        refusal = other;
        done = true;
      }
    }
  };
  dive();
  if (refusal !== undefined) throw refusal;
  return result;
}

/** Something that a watch calls. */
function callback() {
  return random.pick(
    () => {
      callbacks += 1;
    },
    () => {
      callbacks += 1;
      throw thrown;
    },
    () => {
      callbacks += 1;
      for (const each of state.watches.splice(0, 2)) addon.watchStop(each);
    },
    () => {
      callbacks += 1;
      const [mapping] = state.mappings;
      if (mapping !== undefined) addon.unmap(mapping);
      globalThis.gc();
    },
    () => {
      callbacks += 1;
      step();
    },
    async () => {
      callbacks += 1;
      addon.read(state.event, new Uint8Array(8));
    },
  );
}

/** A thread that does the same for a while; it ends by itself, or is ended wherever it is. */
function startThread() {
  threads += 1;
  const data = { ...settings, thread: thread + threads, calls: 200 + random.below(800), device: undefined };
  const worker = new Worker(new URL(import.meta.url), { workerData: data, argv: [] });
  worker.on('error', (error) => fail('a thread failed', error));
  worker.on('message', (ended) => {
    for (const [name, counts] of Object.entries(ended.functions))
      for (const kind of Object.keys(counts)) functions[name][kind] += counts[kind];
    callbacks += ended.callbacks;
  });
  const ended = new Promise((resolve) => worker.on('exit', (status) => (status === 1 && !stopped ? fail('a thread failed') : resolve())));
  let stopped = false;
  if (random.chance(0.4)) {
    setTimeout(() => {
      stopped = true;
      void worker.terminate();
    }, random.below(400));
  }
  return ended;
}

const running = new Set();
for (let calls = 1; calls <= total; calls += 1) {
  step();
  if (calls % 97 === 0) state.truncate(random);
  if (calls % 71 === 0) resize(random.below(4096));
  if (calls % 50 === 0) await turn();
  if (calls % 500 === 0) {
    state.forget(random);
    globalThis.gc();
  }
  if (isMainThread && calls % 2000 === 1000 && running.size < 2) {
    const ended = startThread();
    running.add(ended);
    void ended.then(() => running.delete(ended));
  }
}
await Promise.all(running);
if (ranOfValues > 0) fail(`the addon ran ${ranOfValues} functions of its arguments`);
const report = () =>
  isMainThread ? console.log(JSON.stringify({ functions, callbacks, threads })) : parentPort.postMessage({ functions, callbacks });
// One in three ends with everything open; of the others, each ends by itself if no watch that keeps it alive is left.
if (random.chance(1 / 3)) {
  report();
  process.exit(0);
}
state.end();
// What was begun on other threads.
for (let turns = 0; turns < 100; turns += 1) await turn();
report();
