// Values of every JavaScript type: what a function may be given by mistake, or by somebody who means it to break.
import vm from 'node:vm';

/** How many functions of the values were run. The addon runs none of them. */
export let ranOfValues = 0;
const spy = () => {
  ranOfValues += 1;
  throw new Error('The addon ran a function of its arguments');
};
const trap = {
  valueOf: spy,
  toString: spy,
  [Symbol.toPrimitive]: spy,
  get length() {
    return spy();
  },
  get byteLength() {
    return spy();
  },
  get buffer() {
    return spy();
  },
};
const traps = Object.fromEntries(Object.getOwnPropertyNames(Reflect).map((name) => [name, spy]));

export function detach(buffer) {
  structuredClone(buffer, { transfer: [buffer] });
}
const detached = new Uint8Array(16);
detach(detached.buffer);
const detachedWords = new Uint32Array(4);
detach(detachedWords.buffer);
/** Its length changes while calls go on: `resize`. */
const resizable = new ArrayBuffer(64, { maxByteLength: 4096 });
const growing = new Uint8Array(resizable);
export function resize(length) {
  resizable.resize(length);
}
const outOfBounds = new Uint8Array(new ArrayBuffer(64, { maxByteLength: 128 }), 32, 32);
outOfBounds.buffer.resize(8);
const [bytesFromElsewhere, objectFromElsewhere] = vm.runInNewContext('[new Uint8Array(64), {}]');

const wrongObjects = [
  () => ({}),
  () => [1, 2],
  () => trap,
  () => new Proxy(new Uint8Array(8), {}),
  () => new Proxy(new Uint8Array(8), traps),
  () => new Proxy(new ArrayBuffer(8), traps),
  () => new Proxy(spy, traps),
  () => new Date(0),
  () => /x/,
  () => new Map(),
  () => new WeakRef({}),
  () => Promise.resolve(),
  () => detached,
  () => detachedWords,
  () => outOfBounds,
  () => new Uint8ClampedArray(8),
  () => new Uint16Array(8),
  () => new Int32Array(4),
  () => new Float64Array(8),
  () => new BigInt64Array(8),
  () => new DataView(new ArrayBuffer(8)),
  () => new ArrayBuffer(0),
  () => new ArrayBuffer(16),
  () => resizable,
  () => detached.buffer,
  () => new SharedArrayBuffer(16),
  () => Object.create(null),
  () => Object.create(Uint8Array.prototype),
  () => objectFromElsewhere,
  () => globalThis,
  () => new Number(3),
  () => new String('x'),
  () => Object(1n),
  () => spy,
  () => class {},
  () => Symbol('s'),
  () => Symbol.iterator,
];

export class Values {
  #random;
  #strangers;

  /** `strangers` are Externals that are not the addon's own. */
  constructor(random, strangers) {
    this.#random = random;
    this.#strangers = strangers;
  }

  integer() {
    const random = this.#random;
    return random.make(
      () => random.below(8),
      () => random.below(256),
      () => random.below(65536),
      () => random.below(2 ** 32),
      () => random.below(2 ** 53),
      () => -random.below(2 ** 31) - 1,
      () => 2 ** random.below(64),
      () => 2 ** random.below(64) - 1,
      () => -(2 ** random.below(64)),
      () => random.below(64) * 4096,
    );
  }

  oddNumber() {
    const random = this.#random;
    return random.pick(NaN, Infinity, -Infinity, -0, 0.5, 1e-300, 1.7e308, 2 ** 53, 2 ** 53 + 2, 4294967295.5, random.share());
  }

  bigint() {
    const random = this.#random;
    const any = BigInt(random.below(2 ** 32));
    return random.pick(0n, 1n, -1n, 2n ** 63n, 2n ** 64n - 1n, 2n ** 64n, -(2n ** 63n), 1n << 5000n, -(1n << 300n), any);
  }

  text() {
    const random = this.#random;
    const text = random.pick('', 'scratch', 'scratch', 'absent', './scratch', 'a\0b', '\0', 'é漢\ud800', 'x', '5', '%s%n%n', '-1');
    return text === 'x' ? text.repeat(random.below(9000)) : text;
  }

  bytes() {
    const random = this.#random;
    return random.make(
      () => new Uint8Array(random.below(64)),
      () => new Uint8Array(4096),
      () => new Uint8Array(1 << 18),
      () => Buffer.alloc(random.below(100)),
      () => new Uint8Array(100).subarray(random.below(50), 50 + random.below(50)),
      () => new Uint8Array(new SharedArrayBuffer(random.below(64))),
      () => new Uint8Array(0),
      () => new Uint8Array(new ArrayBuffer(8), 8),
      () => bytesFromElsewhere,
      () => growing,
      () => new Uint8Array(64),
    );
  }

  words() {
    const random = this.#random;
    return random.make(
      () => new Uint8Array(random.below(64)),
      () => new Uint16Array(random.below(64)),
      () => new Uint32Array(random.below(64)),
      () => new Uint32Array(new SharedArrayBuffer(64)),
      () => new BigUint64Array(random.below(8)),
      () => growing,
      () => this.bytes(),
    );
  }

  wrongObject() {
    return this.#random.make(...wrongObjects, () => this.#random.pick(...this.#strangers));
  }

  anything() {
    const random = this.#random;
    return random.make(
      () => undefined,
      () => null,
      () => random.chance(0.5),
      () => this.integer(),
      () => this.integer(),
      () => this.oddNumber(),
      () => this.bigint(),
      () => this.text(),
      () => this.bytes(),
      () => this.wrongObject(),
      () => this.wrongObject(),
    );
  }
}
