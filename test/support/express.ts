import { PciFunction, RegisterBlock, reg32, registers, virtualFunctions } from '../../lib/sim/index.js';
import { e1000eIdentity } from '../../lib/sim/models/e1000e/config.js';

/** Flow control address low: the one register whose contents the suites look at. */
const declared = registers({ FCAL: reg32(0x28) });
const station = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);

/** A PCI Express function of the shape of QEMU's e1000e. Of its registers there are those that the suites use. */
export class ExpressFunction extends PciFunction {
  constructor({ hasVirtualFunctions = false } = {}) {
    const identity = e1000eIdentity(station);
    const bars = { 0: identity.bars[0] ?? 0 };
    super(
      hasVirtualFunctions
        ? { ...identity, extendedCapabilities: [virtualFunctions({ total: 2, device: identity.device, bars })] }
        : identity,
    );
    this.attach(0, new RegisterBlock(declared));
  }

  /** As QEMU's, it keeps its registers over D3hot although it says that it loses them. */
  protected override poweredUp(): void {}
}
