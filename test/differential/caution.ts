/** What is never asked, because the answer would be chance or the end of the kernel: `leftOut` has the reasons. */
import {
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
} from '../../lib/abi/iommufd/ioas.js';
import { requests } from '../../lib/abi/requests.js';
import { VFIO_DEVICE_FEATURE } from '../../lib/abi/vfio/feature.js';
import { VFIO_DEVICE_SET_IRQS, VFIO_IRQ_SET_ACTION_TYPE_MASK, VFIO_PCI_INTX_IRQ_INDEX } from '../../lib/abi/vfio/irq.js';
import { VFIO_DEVICE_STATE_RESUMING } from '../../lib/abi/vfio/migration.js';
import { VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_WRITE, VFIO_IOMMU_MAP_DMA } from '../../lib/abi/vfio/type1.js';
import { isAddress, type Call, type Ioctl } from './operation.js';
import { placeIn, regionOf } from './pools.js';
import { setsMigrationState } from './recipes/features.js';
import { acknowledge, raises } from './recipes/registers.js';
import type { World } from './world.js';

const mappers: readonly string[] = [IOMMU_IOAS_MAP.name, IOMMU_IOAS_MAP_FILE.name, IOMMU_IOAS_COPY.name];

export class Caution {
  readonly #world: World;
  /** Devices that may hold their INTx line: the emulated machines do not always deliver what waits there. */
  readonly #asserted = new Set<string | undefined>();
  /** What each eventfd was given to SET_IRQS for. */
  readonly #actions = new Map<string, number>();
  /** Devices whose state is being written. */
  readonly #resuming = new Set<string | undefined>();

  constructor(world: World) {
    this.#world = world;
  }

  allows(call: Call): boolean {
    if (call.call === 'close') return !this.#resuming.has(this.#world.file(call.file)?.place);
    if (call.call !== 'ioctl') return true;
    if (!this.#isFor(call) && hasAddress(call)) return false;
    switch (call.request) {
      case VFIO_DEVICE_SET_IRQS.name:
        return this.#ends(call);
      case VFIO_DEVICE_FEATURE.name:
        if (setsMigrationState(call) && call.words?.[0]?.[1] === VFIO_DEVICE_STATE_RESUMING)
          this.#resuming.add(this.#world.file(call.file)?.place);
        return true;
      case VFIO_IOMMU_MAP_DMA.name:
        return this.#world.file(call.file)?.kind !== 'iommufd' || permits(call, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
      default:
        return !mappers.includes(call.request) || permits(call, IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE);
    }
  }

  /** Whether the file is of the sort that the request is for. */
  #isFor({ file: ref, request }: Ioctl): boolean {
    const kind = this.#world.file(ref)?.kind;
    const wanted = sorts.get(request);
    return (
      kind === undefined ||
      kind === wanted ||
      (kind === 'iommufd' && wanted === 'container') ||
      (kind === 'device' && wanted === 'migration')
    );
  }

  /** What has to come first where an INTx may wait: the device is told to take it back. */
  before(call: Call): Call | undefined {
    if (call.call === 'pwrite') {
      const file = this.#world.file(call.file);
      if (file !== undefined && raises(this.#world.hardware(file), regionOf(call.offset), placeIn(call.offset)))
        this.#asserted.add(file.place);
    }
    if (call.call === 'store') {
      const mapping = this.#world.mappings.find(({ ref }) => ref === call.mapping);
      if (mapping !== undefined && raises(mapping.hardware, mapping.region, mapping.start + call.offset)) this.#asserted.add(mapping.place);
    }
    if (call.call !== 'ioctl' || call.request !== VFIO_DEVICE_SET_IRQS.name) return undefined;
    const file = this.#world.file(call.file);
    if (Number(call.fields?.['index'] ?? 0) !== VFIO_PCI_INTX_IRQ_INDEX || !this.#asserted.delete(file?.place)) return undefined;
    return acknowledge(call.file);
  }

  /** Whether it leaves no eventfd that lets an interrupt through when that comes: as long as it is held, it comes again. */
  #ends({ fields, words = [] }: Ioctl): boolean {
    const action = Number(fields?.['flags'] ?? 0) & VFIO_IRQ_SET_ACTION_TYPE_MASK;
    const eventfds = words.map(([, value]) => String(value));
    if (eventfds.some((name) => (this.#actions.get(name) ?? action) !== action)) return false;
    for (const name of eventfds) this.#actions.set(name, action);
    return true;
  }
}

const sorts = new Map<string, string>(requests.map(({ name, on }) => [name, on]));

const hasAddress = ({ fields = {}, words = [] }: Ioctl): boolean =>
  [...Object.values(fields), ...words.map(([, value]) => value)].some(isAddress);

/** A mapping for /dev/iommu that devices may read or write. */
function permits({ fields }: Ioctl, directions: number): boolean {
  return fields === undefined || (Number(fields['flags'] ?? 0) & directions) !== 0;
}
