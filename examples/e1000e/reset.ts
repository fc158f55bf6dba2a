import type { Device } from 'vfio';
import { deviceRegisters, type DeviceRegisters } from 'vfio/driver';
import { layout } from './layout.js';

/** What the datasheet allows. */
const resetMilliseconds = 100;
const masterMilliseconds = 80;
const all = 0xffff_ffff;

/** As the datasheet has it: silent, then reset, then silent again; and the link up. */
export async function reset(registers: DeviceRegisters<typeof layout>): Promise<void> {
  const { CTRL, ICR, IMC, RCTL, TCTL } = registers;
  IMC.write(all);
  RCTL.write(0);
  TCTL.write(0);
  CTRL.change({ RST: 1 });
  await CTRL.until({ RST: 0 }, { timeoutMilliseconds: resetMilliseconds });
  IMC.write(all);
  ICR.read();
  CTRL.change({ SLU: 1, ASDE: 1, FD: 1 });
}

/** Has the card end what it does in memory, which somebody else may then be given, and leaves it as after power-on. */
export function silence(device: Device): void {
  const { mmio } = device.region(0);
  const { CTRL, IMC, RCTL, STATUS, TCTL } = deviceRegisters(layout, mmio);
  IMC.write(all);
  RCTL.write(0);
  TCTL.write(0);
  // Accesses that are under way are waited for. Where they do not end, the reset and the bus end them.
  CTRL.change({ GIO_MASTER_DISABLE: 1 });
  const { from } = layout.STATUS.fields.GIO_MASTER_ENABLE;
  mmio.poll32(STATUS.offset, { mask: 1 << from, wanted: 0, timeoutMilliseconds: masterMilliseconds });
  CTRL.change({ RST: 1 });
  device.disableBusMaster();
}
