import type { Call } from '../operation.js';
import type { Random } from '../random.js';
import type { LiveFile, World } from '../world.js';

/** A way to go on. */
export interface Recipe {
  /** How often, among those that can go on. */
  readonly weight: number;
  /** The calls; none where there is nothing to make them on. */
  readonly make: (random: Random, world: World) => readonly Call[];
}

/** One call on a file that fits. */
export function on(
  weight: number,
  fits: (file: LiveFile, world: World) => boolean,
  make: (file: LiveFile, random: Random, world: World) => Call | readonly Call[],
): Recipe {
  return {
    weight,
    make(random, world) {
      const file = random.pick(world.files.filter((candidate) => fits(candidate, world)));
      if (file === undefined) return [];
      const made = make(file, random, world);
      return 'call' in made ? [made] : made;
    },
  };
}
