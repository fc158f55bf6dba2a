/** Makes sequences, one operation after the other, each with a view to what the ones before it brought about. */
import {
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
} from '../../lib/abi/iommufd/ioas.js';
import { VFIO_DEVICE_SET_IRQS, VFIO_IRQ_SET_ACTION_TYPE_MASK } from '../../lib/abi/vfio/irq.js';
import { anyRequest } from './draft.js';
import type { Call, Operation } from './operation.js';
import type { Shape } from './places.js';
import { Random } from './random.js';
import { containerRecipes, groupSetUp } from './recipes/container.js';
import { deviceRecipes } from './recipes/device.js';
import { fileRecipes } from './recipes/files.js';
import { iommufdRecipes, nodeSetUp } from './recipes/iommufd.js';
import type { Recipe } from './recipes/recipe.js';
import { World } from './world.js';

const setUps: readonly (readonly Recipe[])[] = [groupSetUp, groupSetUp, nodeSetUp, nodeSetUp, [...groupSetUp, ...nodeSetUp]];
const further: readonly Recipe[] = [...containerRecipes, ...iommufdRecipes, ...deviceRecipes, ...fileRecipes];

export class Generator {
  readonly #random: Random;
  readonly #world: World;
  readonly #names: readonly string[];
  readonly #setUp: readonly Recipe[];
  /** How many operations the sequence is to have. */
  readonly length: number;
  #next = 0;
  /** Some ways lead nowhere, as when another sort of file has the device already. */
  #setUpTries = 24;
  readonly #waiting: Call[] = [];
  /** A device may hold its INTx line. */
  #asserted = false;
  readonly #iommu: string;
  /** What each eventfd was given to SET_IRQS for. */
  readonly #actions = new Map<string, number>();

  constructor(seed: number, { iommu, places }: Shape) {
    this.#iommu = iommu;
    this.#random = new Random(seed);
    this.#world = new World(iommu === 'none');
    this.#names = places.map(({ name }) => name);
    this.#setUp = this.#random.pick(setUps) ?? groupSetUp;
    this.length = 10 + this.#random.below(70);
  }

  next(): Operation {
    while (this.#waiting.length === 0) this.#waiting.push(...this.#choose().filter((call) => this.#ends(call) && !warns(call)));
    const call = this.#calm(this.#waiting[0] as Call) ?? (this.#waiting.shift() as Call);
    const id = this.#next;
    this.#next += 1;
    return { ...call, id };
  }

  /** What the operation did. */
  learn(operation: Operation, result: string): void {
    this.#world.learn(operation, result);
  }

  /** Whether it leaves no eventfd that lets an interrupt through when that comes: as long as it is held, it comes again. */
  #ends(call: Call): boolean {
    if (call.call !== 'ioctl' || call.request !== VFIO_DEVICE_SET_IRQS.name) return true;
    const action = Number(call.fields?.['flags'] ?? 0) & VFIO_IRQ_SET_ACTION_TYPE_MASK;
    const eventfds = (call.words ?? []).map(([, value]) => String(value));
    if (eventfds.some((name) => (this.#actions.get(name) ?? action) !== action)) return false;
    for (const name of eventfds) this.#actions.set(name, action);
    return true;
  }

  /** What has to come first on a machine that does not deliver an INTx that waits: the device is told to take it back. */
  #calm(call: Call): Call | undefined {
    if (call.call === 'pwrite') this.#asserted ||= /^0x60$/.test(String(call.offset));
    if (call.call === 'store') this.#asserted ||= call.offset === 0x60;
    const enables = call.call === 'ioctl' && call.request === VFIO_DEVICE_SET_IRQS.name && (call.fields?.['index'] ?? 0) === 0;
    if (!enables || !this.#asserted || this.#iommu !== 'amd') return undefined;
    this.#asserted = false;
    return { call: 'pwrite', file: call.file, offset: '0x64', bytes: [255, 255, 255, 255] };
  }

  #choose(): readonly Call[] {
    const random = this.#random;
    if (this.#setUpTries > 0 && random.chance(0.6)) {
      this.#setUpTries -= 1;
      const step = this.#make(this.#setUp);
      if (step !== undefined) return step;
    }
    if (random.chance(0.04)) return [anyRequest(random, this.#world)];
    return this.#make(further) ?? [anyRequest(random, this.#world)];
  }

  /** By one of the recipes that can go on. */
  #make(recipes: readonly Recipe[]): readonly Call[] | undefined {
    const left = [...recipes];
    while (left.length > 0) {
      const recipe = this.#random.weighted(left);
      if (recipe === undefined) return undefined;
      const calls = recipe.make(this.#random, this.#world, this.#names);
      if (calls.length > 0) return calls;
      left.splice(left.indexOf(recipe), 1);
    }
    return undefined;
  }
}

/** A mapping for /dev/iommu that devices may neither read nor write. */
function warns(call: Call): boolean {
  if (call.call !== 'ioctl' || !mappers.includes(call.request) || call.fields === undefined) return false;
  return (Number(call.fields['flags'] ?? 0) & (IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE)) === 0;
}
const mappers: readonly string[] = [IOMMU_IOAS_MAP.name, IOMMU_IOAS_MAP_FILE.name, IOMMU_IOAS_COPY.name];
