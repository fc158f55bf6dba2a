import { PciFunction } from '../../lib/sim/index.js';

/** Flow control address low: the one register whose contents the suites look at. */
const scratch = 0x28;

/**
 * A PCI Express function of the shape of QEMU's e1000e: its BARs, its ROM, one MSI vector, five of MSI-X, and a reset of its
 * own. Of its registers there are those that the suites use.
 */
export class ExpressFunction extends PciFunction {
  #scratch = 0n;

  constructor({ virtualFunctions = false } = {}) {
    super({
      virtualFunctions,
      vendor: 0x8086,
      device: 0x10d3,
      classCode: 0x02_00_00,
      subsystemVendor: 0x8086,
      bars: { 0: 0x2_0000, 1: 0x2_0000, 2: 0x20, 3: 0x4000 },
      portBars: [2],
      rom: new Uint8Array(0x4_0000),
      intx: true,
      msi: { at: 0xd0, vectors: 1 },
      msix: { at: 0xa0, vectors: 5, bar: 3, table: 0 },
      express: { at: 0xe0 },
      functionReset: true,
    });
  }

  override readBar(bar: number, offset: number): bigint {
    return bar === 0 && offset === scratch ? this.#scratch : 0n;
  }

  override writeBar(bar: number, offset: number, _width: number, value: bigint): void {
    if (bar === 0 && offset === scratch) this.#scratch = value;
  }

  override resetRegisters(): void {
    this.#scratch = 0n;
  }
}
