/** Makes sequences, one operation after the other, each with a view to what the ones before it brought about. */
import { Caution } from './caution.js';
import { anyRequest } from './draft.js';
import type { Call, Operation } from './operation.js';
import type { Shape } from './places.js';
import { Random } from './random.js';
import { configRecipes } from './recipes/config.js';
import { containerRecipes, groupSetUp } from './recipes/container.js';
import { deviceRecipes } from './recipes/device.js';
import { featureRecipes } from './recipes/features.js';
import { fileRecipes } from './recipes/files.js';
import { foreignRecipes } from './recipes/foreign.js';
import { interruptRecipes } from './recipes/interrupts.js';
import { iommufdRecipes, nodeSetUp } from './recipes/iommufd.js';
import { anyType, mediatedRecipes } from './recipes/mediated.js';
import type { Recipe } from './recipes/recipe.js';
import { registerRecipes } from './recipes/registers.js';
import { World } from './world.js';

const setUps: readonly (readonly Recipe[])[] = [groupSetUp, groupSetUp, nodeSetUp, nodeSetUp, [...groupSetUp, ...nodeSetUp]];
const further: readonly Recipe[] = [
  ...[...containerRecipes, ...iommufdRecipes, ...fileRecipes],
  ...[...deviceRecipes, ...interruptRecipes, ...featureRecipes, ...configRecipes, ...registerRecipes],
  ...[...mediatedRecipes, ...foreignRecipes],
];

/** Which devices a sequence is about: those that the kernel resets when they are opened take their time. */
const oftenness: Readonly<Record<string, number>> = { edu: 12, other: 4, nvme: 2, card: 2, shared: 1 };
const mediated = 0.15;

export class Generator {
  readonly #random: Random;
  readonly #world: World;
  readonly #caution: Caution;
  readonly #setUp: readonly Recipe[];
  /** How many operations the sequence is to have. */
  readonly length: number;
  #next = 0;
  /** Some ways lead nowhere, as when another sort of file has the device already. */
  #setUpTries = 24;
  readonly #waiting: Call[] = [];

  constructor(seed: number, shape: Shape) {
    const random = new Random(seed);
    this.#random = random;
    this.#world = new World(shape);
    this.#caution = new Caution(this.#world);
    this.#setUp = random.pick(setUps) ?? groupSetUp;
    const devices = shape.places.map(({ name }) => ({ name, weight: oftenness[name] ?? 1 }));
    const wanted = random.chance(0.7) ? 1 : random.pick([2, 2, 3]);
    for (let count = 0; count < wanted; count += 1) {
      if (random.chance(mediated) && this.#world.makesMediated) this.#waiting.push({ call: 'create', type: anyType(random) });
      else this.#world.wanted.push(random.weighted(devices)?.name ?? 'edu');
    }
    this.length = 30 + random.below(150);
  }

  next(): Operation {
    while (this.#waiting.length === 0) this.#waiting.push(...this.#choose().filter((call) => this.#caution.allows(call)));
    const call = this.#caution.before(this.#waiting[0] as Call) ?? (this.#waiting.shift() as Call);
    const id = this.#next;
    this.#next += 1;
    return { ...call, id };
  }

  /** What the operation did. */
  learn(operation: Operation, result: string): void {
    this.#world.learn(operation, result);
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
      const calls = recipe.make(this.#random, this.#world);
      if (calls.length > 0) return calls;
      left.splice(left.indexOf(recipe), 1);
    }
    return undefined;
  }
}
