import { compiler, type Survivor } from './survivor.js';

export const mdev: readonly Survivor[] = [
  { file: 'lib/sim/mdev/uart.ts', code: 'default: return undefined;', replacement: 'default:', reason: compiler },
];
