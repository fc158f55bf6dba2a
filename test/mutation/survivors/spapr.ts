import type { Survivor } from './survivor.js';

export const spapr: readonly Survivor[] = [
  {
    file: 'lib/sim/spapr/eeh.ts',
    code: 'default: return -errno.EINVAL;',
    replacement: 'default:',
    reason: 'a container says EINVAL where its driver says nothing',
  },
];
