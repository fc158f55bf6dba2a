/** The counter of an eventfd, read again and again into the same memory. */
export class Counter {
  readonly #read: (bytes: Uint8Array) => number;
  readonly #bytes = new Uint8Array(new ArrayBuffer(8));
  readonly #halves = new Uint32Array(this.#bytes.buffer);

  /** `read` is read(2) of the eventfd. */
  constructor(read: (bytes: Uint8Array) => number) {
    this.#read = read;
  }

  /** Takes the count, at least 1, or answers what read(2) does: -EAGAIN if there is none. */
  take(): number {
    const result = this.#read(this.#bytes);
    if (result < 0) return result;
    // As one bigint it would be garbage at each call.
    const [low = 0, high = 0] = this.#halves;
    return low + high * 2 ** 32;
  }
}

/** For a watch of an eventfd: reads it, and tells `ready` the count. It tells nothing if somebody else has read it first. */
export function countTo(read: (bytes: Uint8Array) => number, ready: (count: number) => void): () => void {
  const counter = new Counter(read);
  return () => {
    const count = counter.take();
    if (count > 0) ready(count);
  };
}
