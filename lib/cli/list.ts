import { parseAddress } from '../pci/address.js';
import { judgeReadiness, type Readiness } from '../pci/readiness.js';
import { readTextIfAny, type WithFiles } from '../pci/sysfs.js';
import { devicesPath, findDevice, findDevices, type PciDevice } from '../pci/topology.js';
import type { Context } from './context.js';
import { selector, type Filters } from './list/filters.js';
import { groupText } from './list/group-text.js';
import { treeText } from './list/tree-text.js';
import { loadNames, type PciNames } from './pci-names.js';

/** A device as `vfio list` shows it. */
export interface ListedDevice extends PciDevice {
  readonly revision: number;
  /** Where the database of ids knows them. */
  readonly names: { readonly class?: string | undefined; readonly vendor?: string | undefined; readonly device?: string | undefined };
  /** The NUMA node it is nearest to; undefined where the machine has one only, or does not know. */
  readonly numaNode: number | undefined;
  readonly readiness: Readiness;
}

export interface ListOptions extends Filters {
  readonly tree?: true;
}

export async function list(context: Context, options: ListOptions, addresses: readonly string[]): Promise<void> {
  const kernel = { files: await context.files() };
  const found =
    addresses.length === 0
      ? findDevices(kernel)
      : [...new Set(addresses.map(parseAddress))].sort().map((address) => findDevice(kernel, address));
  const names = await loadNames(context);
  const wanted = found.filter(selector(options, names));
  const readiness = judgeReadiness(kernel, wanted);
  const devices = wanted.map((device) => listed(kernel, device, names, readiness.get(device.address)!));
  if (devices.length === 0) context.terminal.note('vfio: no such device\n');
  context.result(devices, () => (options.tree === true ? treeText(kernel, devices, context.paint) : groupText(devices, context.paint)));
}

function listed(kernel: WithFiles, device: PciDevice, names: PciNames, readiness: Readiness): ListedDevice {
  const { address, vendor, device: id, classCode } = device;
  const read = (file: string): number => Number(readTextIfAny(kernel, `${devicesPath}/${address}/${file}`) ?? -1);
  const node = read('numa_node');
  return {
    ...device,
    revision: read('revision'),
    names: { class: names.className(classCode), vendor: names.vendor(vendor), device: names.device(vendor, id) },
    numaNode: node < 0 ? undefined : node,
    readiness,
  };
}
