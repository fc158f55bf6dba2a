import { findDevices } from '../pci/topology.js';
import { columns } from './columns.js';
import type { Context } from './context.js';

export async function list(context: Context): Promise<void> {
  const devices = findDevices({ files: await context.files() });
  context.result(devices, () => columns(devices.map(({ address, driver }) => [address, driver ?? '-'])));
}
