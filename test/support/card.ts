import { PciFunction, type PciIdentity } from '../../lib/sim/index.js';

/** A PCI function of which no register matters: it counts its resets, and interrupts as it is told. */
export class Card extends PciFunction {
  resets = 0;

  constructor(identity: Partial<PciIdentity>) {
    super({ vendor: 0x1af4, device: 0x10f0, classCode: 0xff0000, bars: { 0: 4096 }, ...identity });
  }

  protected override resetRegisters(): void {
    this.resets += 1;
  }

  override setIntx(asserted: boolean): void {
    super.setIntx(asserted);
  }

  override sendMsi(vector: number): void {
    super.sendMsi(vector);
  }
}
