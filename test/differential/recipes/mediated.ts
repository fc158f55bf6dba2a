/** Mediated devices: made, and asked for their picture. */
import { VFIO_DEVICE_GET_GFX_DMABUF, VFIO_DEVICE_QUERY_GFX_PLANE } from '../../../lib/abi/vfio/gfx.js';
import { draft } from '../draft.js';
import type { Random } from '../random.js';
import type { LiveFile, World } from '../world.js';
import { on, type Recipe } from './recipe.js';

const types = ['mtty-1', 'mtty-1', 'mtty-2', 'mdpy-vga', 'mbochs-small'] as const;

/** The type of a device to make. */
export function anyType(random: Random): string {
  return random.pick(types);
}

const isDevice = (file: LiveFile): boolean => file.kind === 'device';
const isDisplay = (file: LiveFile, world: World): boolean => isDevice(file) && ['mdpy', 'mbochs'].includes(world.hardware(file));

/** Probe, dma-buf and region. */
const planes = [2, 4, 3, 5, 1, 6, 0] as const;

export const mediatedRecipes: readonly Recipe[] = [
  { weight: 1, make: (random) => (random.chance(0.1) ? [{ call: 'create', type: random.pick([...types, 'mdpy-none']) }] : []) },
  on(12, isDisplay, (file, random, world) =>
    draft(random, world, VFIO_DEVICE_QUERY_GFX_PLANE, file.ref, {
      fields: { argsz: random.pick([60, 60, 64]), flags: random.pick(planes) },
    }),
  ),
  on(6, isDisplay, (file, random, world) =>
    draft(random, world, VFIO_DEVICE_GET_GFX_DMABUF, file.ref, { words: [['u32', random.pick([1, 1, 2, 0])]] }),
  ),
  on(1, isDevice, (file, random, world) =>
    draft(random, world, VFIO_DEVICE_QUERY_GFX_PLANE, file.ref, { fields: { flags: random.pick(planes) } }),
  ),
];
