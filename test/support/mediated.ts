/** Mediated devices for tests, by the files alone. Every one made here is removed by `removeAll`. */
import type { Kernel } from '../../lib/kernel/kernel.js';
import { answer } from './seam.js';
import type { Place } from './subject.js';

export class MediatedDevices {
  readonly #kernel: Kernel;
  readonly #made = new Map<string, string>();
  #next = 1;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** The folder of a parent or a type: 'mtty', 'mtty-1'. */
  static path(name: string): string {
    const [parent, type] = name.split('-');
    return `/sys/devices/virtual/${parent}/${parent}${type === undefined ? '' : `/mdev_supported_types/${name}`}`;
  }

  uuid(number = this.#next++): string {
    return `9d3c8c5e-7a51-4b5c-9f0e-${number.toString(16).padStart(12, '0')}`;
  }

  /** Writes to `create`; the answer as text. */
  tryMake(type: string, text: string): string {
    const result = this.#kernel.files.writeFile(`${MediatedDevices.path(type)}/create`, new TextEncoder().encode(text));
    const uuid = text.slice(0, 36).toLowerCase();
    if (result >= 0) this.#made.set(uuid, `${MediatedDevices.path(type.split('-')[0] ?? '')}/${uuid}`);
    return answer(result);
  }

  make(type: string): Place {
    const address = this.uuid();
    const result = this.tryMake(type, address);
    if (result !== '36') throw new Error(`create of ${type}: ${result}`);
    const group = this.#kernel.files.readlink(`/sys/bus/mdev/devices/${address}/iommu_group`);
    return { address, group: Number(String(group).split('/').at(-1)) };
  }

  /** Writes to `remove`; the answer as text. */
  remove(uuid: string, text = '1'): string {
    const path = this.#made.get(uuid) ?? `/sys/bus/mdev/devices/${uuid}`;
    return answer(this.#kernel.files.writeFile(`${path}/remove`, new TextEncoder().encode(text)));
  }

  removeAll(): void {
    for (const [uuid, path] of this.#made) {
      if (this.#kernel.files.access(path) >= 0 && this.remove(uuid) !== '1') throw new Error(`${uuid} could not be removed`);
    }
    this.#made.clear();
  }
}
