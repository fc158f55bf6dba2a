// What the calls of one thread have made and may use: fds of files that are nobody else's, mappings, watches, buffers.
import { ftruncateSync } from 'node:fs';
import { detach } from './values.mjs';

const most = 24;

export class State {
  /** Fds that stay open throughout. */
  lasting;
  /** Fds that calls opened, and may close. */
  opened = [];
  mappings = [];
  /** Mappings that calls do not unmap: of memory, of a file that gets shorter, of one that cannot. */
  steady;
  watches = [];
  /** Of mappings. */
  buffers = [];
  /** Arrays of those that cannot fault. */
  arrays = [];
  /** Mappings that are more than there may be memory for. */
  #vast = new WeakSet();
  #addon;
  #file;
  #sealed;

  constructor(addon) {
    this.#addon = addon;
    this.#file = addon.open('scratch', 0o102);
    const appended = addon.open('scratch', 0o2002);
    ftruncateSync(this.#file, 1 << 16);
    this.event = addon.eventfd(0, 0x800);
    const sealed = addon.memfd('sealed', 1 << 16, 2);
    this.lasting = [this.#file, appended, this.event, addon.open('/dev/zero', 2), sealed];
    if (this.lasting.some((fd) => !(fd >= 0))) throw new Error('The files to try calls on could not be opened');
    this.#sealed = sealed;
    this.#mapSteady();
  }

  get fds() {
    return [...this.lasting, ...this.opened];
  }

  /** More that stays open as long as the caller leaves it open. */
  lend(...fds) {
    this.lasting.push(...fds);
  }

  /** Takes what a call returned into account. */
  take(random, name, values, result) {
    if (['open', 'eventfd', 'memfd'].includes(name) && result >= 0) this.#takeFd(random, name, values, result);
    if (name === 'close' && result === 0) this.opened = this.opened.filter((fd) => fd !== values[0]);
    if (name === 'mmap' && typeof result === 'object') {
      if (values[1] > 1 << 20) this.#vast.add(result);
      this.#keep(random, this.mappings, result);
    }
    if (name.startsWith('watch') && typeof result === 'object') {
      const replaced = this.#keep(random, this.watches, result);
      // Nobody could stop it any more.
      if (replaced !== undefined) this.#addon.watchStop(replaced);
    }
    if ((name === 'mappingMemory' || name === 'mappingRegisters') && result !== undefined) this.#takeBuffer(random, name, result);
  }

  isVast(mapping) {
    return this.#vast.has(mapping);
  }

  /** Lets go of most of it, as garbage. */
  forget(random) {
    this.#mapSteady();
    if (random.chance(0.5)) this.mappings.length = 0;
    for (const each of this.watches.splice(0)) this.#addon.watchStop(each);
    this.buffers.length = 0;
    this.arrays.length = 0;
    for (const fd of this.opened.splice(0)) this.#addon.close(fd);
  }

  /** Makes the file that is mapped shorter or longer: an access behind its end is refused by the bus. */
  truncate(random) {
    ftruncateSync(this.#file, random.pick(0, 4096, 1 << 16));
  }

  end() {
    for (const each of this.watches) this.#addon.watchStop(each);
    for (const fd of this.fds) this.#addon.close(fd);
  }

  #mapSteady() {
    const map = (fd, flags) => this.#addon.mmap(fd, 1 << 16, 3, flags, 0);
    this.steady = [map(-1, 0x22), map(this.#file, 1), map(this.#sealed, 1)];
  }

  #takeFd(random, name, [, flags], fd) {
    // A read from one without its non-blocking flag could wait for ever.
    if (name === 'eventfd' && (flags & 0x800) === 0) return void this.#addon.close(fd);
    const replaced = this.#keep(random, this.opened, fd);
    if (replaced !== undefined) this.#addon.close(replaced);
  }

  #takeBuffer(random, name, buffer) {
    this.#keep(random, this.buffers, buffer);
    // Only memory that cannot fault is given out so.
    if (name !== 'mappingMemory' || buffer.byteLength === 0) return;
    const array = new Uint8Array(buffer, 0, Math.min(buffer.byteLength, 1 << 16)).fill(random.below(256));
    this.#keep(random, this.arrays, array);
    if (!random.chance(0.1)) return;
    try {
      detach(buffer);
    } catch {
      // Memory of a mapping is not to be transferred.
    }
  }

  /** Returns what `value` took the place of. */
  #keep(random, list, value) {
    if (list.length < most) return void list.push(value);
    const place = random.below(list.length);
    const [replaced] = list.splice(place, 1, value);
    return replaced;
  }
}
