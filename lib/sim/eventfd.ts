import { EFD_NONBLOCK } from '../abi/system.js';
import { errno } from '../abi/errno.js';
import type { Watch } from '../kernel/kernel.js';
import { OpenFile } from './open-file.js';
import { Watchers } from './watchers.js';

/** What writers can bring it to; the kernel itself can go one further. */
const most = 0xffff_ffff_ffff_fffen;

/** eventfd(2): a 64-bit counter that is readable while it is not zero. */
export class Eventfd extends OpenFile {
  #count: bigint;
  readonly #nonblocking: boolean;
  readonly #watchers = new Watchers(() => this.readable);
  readonly #consumers = new Set<() => void>();

  constructor(initial: number, flags: number) {
    super();
    this.#count = BigInt(initial);
    this.#nonblocking = (flags & EFD_NONBLOCK) !== 0;
  }

  /** What it holds. */
  get count(): bigint {
    return this.#count;
  }

  get readable(): boolean {
    return this.#count !== 0n;
  }

  /** eventfd_signal(): adds one, and stays at the most that 64 bits hold. */
  signal(): void {
    if (this.#count <= most) this.#count += 1n;
    this.#wake();
  }

  override read(bytes: Uint8Array): number {
    if (bytes.byteLength < 8) return -errno.EINVAL;
    if (this.#count === 0n) return this.#wouldBlock();
    bytes.set(new Uint8Array(new BigUint64Array([this.#count]).buffer));
    this.#count = 0n;
    return 8;
  }

  override write(bytes: Uint8Array): number {
    if (bytes.byteLength < 8) return -errno.EINVAL;
    const added = new BigUint64Array(bytes.slice(0, 8).buffer)[0] ?? 0n;
    if (added > most) return -errno.EINVAL;
    if (this.#count + added > most) return this.#wouldBlock();
    this.#count += added;
    this.#wake();
    return 8;
  }

  override pread(): number {
    return -errno.ESPIPE;
  }

  override pwrite(): number {
    return -errno.ESPIPE;
  }

  override watch(ready: () => void): Watch {
    return this.#watchers.watch(ready);
  }

  /**
   * Something in the kernel waits for the eventfd and takes its count, as VFIO's unmask does. Returns what ends it, which
   * takes the count once more.
   */
  onSignal(action: () => void): () => void {
    if (this.readable) action();
    this.#consumers.add(action);
    return () => {
      this.#consumers.delete(action);
      this.#count = 0n;
    };
  }

  #wake(): void {
    for (const action of this.#consumers) {
      this.#count = 0n;
      action();
    }
    if (this.readable) this.#watchers.wake();
  }

  /** Blocking would stop the only thread there is, which is also the one that could end the wait. */
  #wouldBlock(): number {
    if (this.#nonblocking) return -errno.EAGAIN;
    throw new Error('This eventfd operation would block for ever; make the eventfd with EFD_NONBLOCK');
  }
}
