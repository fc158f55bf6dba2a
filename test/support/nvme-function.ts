import { PciFunction } from '../../lib/sim/index.js';
import { nvmeIdentity } from '../../lib/sim/models/nvme/config.js';

/** A function of the shape of QEMU's nvme with virtual functions, or of one of those. It has no registers. */
export class NvmeFunction extends PciFunction {
  constructor({ virtualFunctions = 0 } = {}) {
    super(nvmeIdentity({ vectors: 3, barSize: 0x4000, virtualFunctions }));
  }
}
