/** Makes sequences, one operation after the other, each with a view to what the ones before it brought about. */
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
  #waiting: Call[] = [];

  constructor(seed: number, { iommu, places }: Shape) {
    this.#random = new Random(seed);
    this.#world = new World(iommu === 'none');
    this.#names = places.map(({ name }) => name);
    this.#setUp = this.#random.pick(setUps) ?? groupSetUp;
    this.length = 10 + this.#random.below(70);
  }

  next(): Operation {
    while (this.#waiting.length === 0) this.#waiting.push(...this.#choose());
    const [call, ...rest] = this.#waiting as [Call, ...Call[]];
    this.#waiting = rest;
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
      const calls = recipe.make(this.#random, this.#world, this.#names);
      if (calls.length > 0) return calls;
      left.splice(left.indexOf(recipe), 1);
    }
    return undefined;
  }
}
