import { parseAddress } from '../pci/address.js';
import { judgeReadiness } from '../pci/readiness.js';
import { findDevice, findDevices } from '../pci/topology.js';
import type { Context } from './context.js';
import { selector, type Filters } from './list/filters.js';
import { groupText } from './list/group-text.js';
import { listed } from './list/listed-device.js';
import { treeText } from './list/tree-text.js';
import { loadNames } from './pci-names.js';

export interface ListOptions extends Filters {
  readonly tree?: true;
}

export async function list(context: Context, options: ListOptions, addresses: readonly string[]): Promise<void> {
  const kernel = { files: await context.files() };
  const found =
    addresses.length === 0
      ? findDevices(kernel)
      : [...new Set(addresses.map(parseAddress))].sort().map((address) => findDevice(kernel, address));
  using names = await loadNames(context);
  const wanted = found.filter(selector(options, names));
  const readiness = judgeReadiness(kernel, wanted);
  const devices = wanted.map((device) => listed(kernel, device, names, readiness.get(device.address)!));
  if (devices.length === 0) context.terminal.note('vfio: no such device\n');
  context.result(devices, () => (options.tree === true ? treeText(kernel, devices, context.paint) : groupText(devices, context.paint)));
}
