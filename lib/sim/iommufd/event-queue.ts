/** Objects of /dev/iommu that have a file of their own, where events of devices come out. */
import { errno } from '../../abi/errno.js';
import type { Watch } from '../../kernel/kernel.js';
import { OpenFile } from '../open-file.js';
import { Watchers } from '../watchers.js';
import { IommufdObject } from './objects.js';
import type { Context } from './operation.js';

export abstract class EventQueue extends IommufdObject {
  readonly #watchers = new Watchers(() => this.readable);

  /** Something can be read. */
  abstract get readable(): boolean;

  /** read() and write() of its file: bytes, or -errno. */
  abstract read(bytes: Uint8Array): number;
  write(_bytes: Uint8Array): number {
    return -errno.EINVAL;
  }

  watch(ready: () => void): Watch {
    return this.#watchers.watch(ready);
  }

  /** Something came. */
  protected wake(): void {
    this.#watchers.wake();
  }
}

/** Reads from the queue, which cannot be destroyed while it is open, as /dev/iommu cannot end. */
class EventQueueFile extends OpenFile {
  readonly #queue: EventQueue;
  readonly #owner: OpenFile;

  constructor(queue: EventQueue, owner: OpenFile) {
    super();
    this.#queue = queue;
    this.#owner = owner;
    queue.users += 1;
    owner.retain();
  }

  override read(bytes: Uint8Array): number {
    return this.#queue.read(bytes);
  }

  override write(bytes: Uint8Array): number {
    return this.#queue.write(bytes);
  }

  override pread(): number {
    return -errno.ESPIPE;
  }

  override pwrite(): number {
    return -errno.ESPIPE;
  }

  override watch(ready: () => void): Watch {
    return this.#queue.watch(ready);
  }

  protected override release(): void {
    this.#queue.users -= 1;
    this.#owner.drop();
  }
}

/**
 * Makes the queue an object of the file and opens it. `respond` tells the caller its id and its fd; where that fails,
 * neither stays. 0 or -errno.
 */
export function installQueue({ objects, fds, file }: Context, queue: EventQueue, respond: (fd: number) => number): number {
  objects.add(queue);
  const fd = fds.install(new EventQueueFile(queue, file));
  const result = fd < 0 ? fd : respond(fd);
  if (result === 0) return 0;
  if (fd >= 0) fds.close(fd);
  objects.destroy(queue.id);
  return result;
}
