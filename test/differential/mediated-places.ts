/** Mediated devices that a sequence makes: places of its own, until its end. */
import type { Kernel } from '../../lib/kernel/kernel.js';
import { answer } from '../support/seam.js';
import type { Operation } from './operation.js';
import type { MediatedHardware, Place } from './places.js';

export class MediatedPlaces {
  readonly #kernel: Kernel;
  readonly #places = new Map<string, Place>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  find(name: string | undefined): Place | undefined {
    return name === undefined ? undefined : this.#places.get(name);
  }

  /** What the write to the type's file answers. */
  create({ id, type }: Operation & { readonly call: 'create' }): number {
    const { files } = this.#kernel;
    // Made of the operation, so that both kernels have the same.
    const uuid = `9d3c8c5e-7a51-4b5c-9f0e-${id.toString(16).padStart(12, '0')}`;
    const [parent = ''] = type.split('-');
    const path = `/sys/devices/virtual/${parent}/${parent}/mdev_supported_types/${type}/create`;
    const result = files.writeFile(path, new TextEncoder().encode(uuid));
    if (result < 0) return result;
    const group = Number(
      String(files.readlink(`/sys/bus/mdev/devices/${uuid}/iommu_group`))
        .split('/')
        .at(-1),
    );
    this.#places.set(`#${id}`, { name: `#${id}`, hardware: parent as MediatedHardware, address: uuid, group, noIommu: false });
    return result;
  }

  /** Nobody has them open any more: the kernel waits until that is so, and this is the process it would wait for. */
  removeAll(): void {
    for (const { address } of this.#places.values()) {
      const result = this.#kernel.files.writeFile(`/sys/bus/mdev/devices/${address}/remove`, new TextEncoder().encode('1'));
      if (result < 0) throw new Error(`${address} could not be removed: ${answer(result)}`);
    }
    this.#places.clear();
  }
}
