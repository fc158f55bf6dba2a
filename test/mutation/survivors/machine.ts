/** Of the files directly in lib/sim. */
import { compiler, written, type Survivor } from './survivor.js';

const memory = 'lib/sim/user-memory.ts';

export const machine: readonly Survivor[] = [
  {
    file: 'lib/sim/cdev.ts',
    code: '!argument.copyTo(bind.bytes.subarray(outDevid, outDevid + 4), outDevid)',
    replacement: 'false',
    reason: written,
  },
  { file: 'lib/sim/dma-logging.ts', code: 'default: return undefined;', replacement: 'default:', reason: compiler },
  {
    file: 'lib/sim/files.ts',
    code: "node.kind !== 'file'",
    replacement: 'false',
    reason: 'a device node has neither text nor who would take one, which is asked next; the compiler does not know',
  },
  { file: 'lib/sim/migration.ts', code: 'default: return undefined;', replacement: 'default:', reason: compiler },
  {
    file: 'lib/sim/slot.ts',
    code: 'this.#group !== undefined',
    replacement: 'true',
    reason: 'whoever asks has seen that the device has a name at VFIO, which it has only in a group; the compiler does not know',
  },
  {
    file: memory,
    code: 'start === undefined',
    replacement: 'false',
    reason: 'a mapping unmaps once, and what it was given; the compiler does not know',
  },
  {
    file: memory,
    code: 'area === undefined',
    replacement: 'false',
    reason: 'without an area there is no memory either, which is asked next, and what a mapping unmaps has one',
  },
  {
    file: memory,
    code: 'memory === undefined',
    replacement: 'false',
    reason: 'memory that nobody holds is gone when the engine collects it, which no test can bring about',
  },
];
