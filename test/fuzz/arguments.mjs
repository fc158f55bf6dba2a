// The arguments of each function of the addon: nearly right most of the time, so that calls get somewhere.
//
// What is random is kept from doing damage: fds are those of the state or of nothing, requests on them never write more
// than they are given room for, paths are names in the folder of the run, and big mappings reserve nothing.
import { types } from 'node:util';

const takesFd = new Set(['close', 'ioctl', 'ioctlMany', 'ioctlAsync', 'read', 'write', 'pread', 'pwrite', 'mmap', 'watch', 'watchCount']);
/** FIONREAD, FIGETBSZ, one that no file has. */
const harmless = [0x541b, 2, 0xdeadbeef];
/** As long as the longest answer to those. */
const room = 64;

export class Arguments {
  #random;
  #values;
  #state;
  #callback;
  #requests;

  /** `callback` makes what is called back; `requests` is what to ask of fds of which more is known than that they are harmless. */
  constructor({ random, values, state, callback, requests }) {
    this.#random = random;
    this.#values = values;
    this.#state = state;
    this.#callback = callback;
    this.#requests = requests;
  }

  for(name) {
    const random = this.#random;
    const values = this.#tame(name, this.#usual(name));
    if (random.chance(0.05)) values.length = random.below(values.length + 1);
    if (random.chance(0.05)) values.push(this.#anything(), this.#anything(), this.#anything());
    return values;
  }

  #anything() {
    const { mappings, watches, buffers } = this.#state;
    const random = this.#random;
    return random.chance(0.15) ? random.pick(undefined, ...mappings, ...watches, ...buffers) : this.#values.anything();
  }

  #or(usual) {
    return this.#random.chance(0.92) ? usual() : this.#anything();
  }

  #fd() {
    return this.#random.chance(0.9) ? this.#random.pick(...this.#state.fds) : this.#anything();
  }

  #mapping() {
    const { mappings, steady } = this.#state;
    return this.#random.chance(0.95) ? this.#random.pick(...steady, ...mappings) : this.#anything();
  }

  #watch() {
    const { watches } = this.#state;
    return this.#random.chance(0.9) && watches.length > 0 ? this.#random.pick(...watches) : this.#anything();
  }

  #offset() {
    const random = this.#random;
    return this.#or(() =>
      random.pick(
        random.below(4096),
        random.below(1 << 9) * 8,
        random.below(1 << 9) * 8,
        random.below(1 << 13) * 8,
        random.below(1 << 16),
        random.below(2 ** 53),
      ),
    );
  }

  #usual(name) {
    const random = this.#random;
    const width = Number(/\d+$/.exec(name)?.[0]);
    if (/^mmioRead\d/.test(name)) return [this.#mapping(), this.#offset()];
    if (/^mmioWrite\d/.test(name)) return [this.#mapping(), this.#offset(), this.#or(() => this.#word(width))];
    if (/^mmioPoll\d/.test(name)) {
      const bits = () => (width === 64 ? random.pick(0n, 1n, this.#values.bigint()) : random.pick(0, 1, random.below(2 ** width)));
      const milliseconds = () => random.pick(0, 0.001, 0.1, random.share() / 10);
      return [this.#mapping(), this.#offset(), this.#or(bits), this.#or(bits), this.#or(milliseconds)];
    }
    const make = this.#makers[name];
    if (make === undefined) throw new Error(`no arguments are known for ${name}`);
    return make();
  }

  #word(width) {
    return width === 64 ? this.#values.bigint() : this.#random.pick(this.#random.below(2 ** width), this.#values.integer());
  }

  #text = () => this.#values.text();
  #bytes = () => {
    const { arrays } = this.#state;
    return arrays.length > 0 && this.#random.chance(0.1) ? this.#random.pick(...arrays) : this.#values.bytes();
  };
  #words = () => this.#values.words();
  #function = () => this.#or(this.#callback);

  #makers = {
    open: () => [this.#or(this.#text), this.#or(() => this.#random.pick(0, 1, 2, 0o102, 0o1002, this.#random.below(2 ** 31)))],
    close: () => [this.#random.chance(0.7) ? this.#random.pick(undefined, ...this.#state.opened) : this.#anything()],
    ioctl: () => {
      const { fd, request, structs } = this.#request();
      const random = this.#random;
      return [fd, this.#or(() => request), this.#or(() => random.pick(structs(1), structs(1), undefined, random.below(4096)))];
    },
    ioctlMany: () => {
      const { fd, request, structs } = this.#request();
      const random = this.#random;
      const count = random.below(9);
      const results = () => new Int32Array(random.pick(count, count, random.below(9)));
      return [
        fd,
        this.#or(() => request),
        this.#or(
          random.pick(
            () => structs(count),
            () => structs(count),
            this.#bytes,
          ),
        ),
        this.#or(results),
      ];
    },
    ioctlAsync: () => {
      const { fd, request, structs } = this.#request();
      const holding = () => this.#random.pick(undefined, this.#fd());
      return [fd, this.#or(() => request), this.#or(this.#random.pick(() => structs(1), this.#bytes)), this.#or(holding)];
    },
    read: () => [this.#fd(), this.#or(this.#bytes)],
    write: () => [this.#fd(), this.#or(this.#bytes)],
    pread: () => [this.#fd(), this.#or(this.#bytes), this.#offset()],
    pwrite: () => [this.#fd(), this.#or(this.#bytes), this.#or(() => this.#random.below(1 << 16))],
    eventfd: () => [
      this.#or(() => this.#random.below(2 ** 32)),
      this.#or(() => this.#random.pick(0, 0x800, 0x801, 1, this.#random.below(2 ** 31))),
    ],
    memfd: () => [
      this.#or(this.#text),
      this.#or(() => this.#random.pick(0, 4096, this.#random.below(2 ** 53))),
      this.#or(() => this.#random.pick(0, 1, 2, 4, this.#random.below(2 ** 32))),
    ],
    addressOf: () => [this.#random.chance(0.5) ? this.#random.pick(new ArrayBuffer(16), ...this.#state.buffers) : this.#anything()],
    mmap: () => {
      const random = this.#random;
      return [
        random.chance(0.4) ? -1 : this.#fd(),
        this.#or(() => random.pick(4096, 8192, 1 << 16, random.below(1 << 20), 1 << 20, random.below(2 ** 47))),
        this.#or(() => random.pick(3, 3, 3, 1, 2, 0)),
        this.#or(() => random.pick(0x22, 0x22, 0x22, 0x21, 1, 1, 1, 2, random.below(2 ** 31))),
        this.#or(() => random.pick(0, 0, 0, 4096, random.below(16) * 4096, random.below(9) * 2 ** 40, random.below(2 ** 53))),
        this.#or(() => random.pick(undefined, undefined, undefined, undefined, 0, random.below(1024))),
      ];
    },
    mappingMemory: () => [this.#mapping()],
    mappingRegisters: () => [this.#mapping()],
    populateAsync: () => [this.#mapping()],
    unmap: () => [this.#random.chance(0.3) ? this.#random.pick(undefined, ...this.#state.mappings) : this.#anything()],
    watch: () => [this.#fd(), this.#function()],
    watchCount: () => [this.#random.chance(0.7) ? this.#state.event : this.#fd(), this.#function()],
    watchRef: () => [this.#watch()],
    watchUnref: () => [this.#watch()],
    watchStop: () => [this.#watch()],
    mmioReadRange: () => [this.#mapping(), this.#offset(), this.#or(this.#words)],
    mmioWriteList: () => {
      const random = this.#random;
      const values = this.#or(this.#words);
      const known = ArrayBuffer.isView(values) && Number.isInteger(values.length);
      const count = known && random.chance(0.9) ? Math.min(values.length, 64) : random.below(64);
      const offsets = () => Uint32Array.from({ length: count }, () => random.pick(random.below(64) * 8, random.below(1 << 14)));
      return [this.#mapping(), this.#or(offsets), values];
    },
  };

  /** An fd and what to ask of it. */
  #request() {
    const fd = this.#fd();
    const known = this.#requests.of(fd);
    if (known !== undefined) return { fd, ...known };
    const structs = (count) => new Uint8Array(count * this.#random.pick(0, room, 4096));
    return { fd, request: this.#random.pick(...harmless), structs };
  }

  /** The arguments, made harmless. */
  #tame(name, values) {
    const [first] = values;
    const open = this.#state.fds.includes(first);
    if (takesFd.has(name) && typeof first === 'number' && first >= 0 && first < 1_000_000 && !open) values[0] = 1_000_000;
    if (name === 'close' && this.#state.lasting.includes(first)) values[0] = 1_000_000;
    if (name.startsWith('ioctl') && open && this.#requests.of(first) === undefined) this.#tameRequest(name, values);
    if (name === 'mmap' && Number.isInteger(values[3]) && values[3] >= 0 && values[3] < 2 ** 31) {
      values[3] &= ~0xa000; // neither populated nor locked
      if (typeof values[1] === 'number' && values[1] > 1 << 20) values[3] |= 0x4000;
    }
    // What is called back is to be the fuzzer's own.
    if (name.startsWith('watch') && typeof values[1] === 'function') values[1] = this.#callback();
    if (name === 'populateAsync' && this.#state.isVast(first)) values[0] = undefined;
    return values;
  }

  #tameRequest(name, values) {
    const random = this.#random;
    if (Number.isInteger(values[1]) && !harmless.includes(values[1])) values[1] = random.pick(...harmless);
    const each = name === 'ioctlMany' && types.isInt32Array(values[3]) ? values[3].length : 1;
    if (isShort(values[2], each * room)) values[2] = new Uint8Array(each * room);
    if (typeof values[2] === 'number' && values[2] >= 4096 && values[2] < 2 ** 53) values[2] = random.below(4096);
  }
}

/** Whether an answer might not fit. What only looks like an array never gets that far. */
function isShort(array, least) {
  try {
    return ArrayBuffer.isView(array) && array.byteLength > 0 && array.byteLength < least;
  } catch {
    return false;
  }
}
