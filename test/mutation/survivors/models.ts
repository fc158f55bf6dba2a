import { compiler, type Survivor } from './survivor.js';

export const models: readonly Survivor[] = [
  {
    file: 'lib/sim/models/e1000e/card.ts',
    code: 'this.#receiving',
    replacement: 'false',
    reason: 'taking a frame has another come only where the card\u2019s own registers are what it writes the frame to',
  },
  {
    file: 'lib/sim/models/nvme/controller.ts',
    code: 'default: return ended(status.invalidOpcode);',
    replacement: 'default:',
    reason: compiler,
  },
  {
    file: 'lib/sim/models/nvme/features.ts',
    code: 'default: return undefined;',
    replacement: 'default:',
    reason: 'it is the answer of a function that ends without one',
  },
];
