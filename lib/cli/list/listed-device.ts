import type { Readiness } from '../../pci/readiness.js';
import { readTextIfAny, type WithFiles } from '../../pci/sysfs.js';
import { devicesPath, type PciDevice } from '../../pci/topology.js';
import type { PciNames } from '../pci-names.js';

/** A device as `vfio list` shows it. */
export interface ListedDevice extends PciDevice {
  readonly revision: number;
  /** Where the database of ids knows them. */
  readonly names: { readonly class?: string | undefined; readonly vendor?: string | undefined; readonly device?: string | undefined };
  /** The NUMA node it is nearest to; undefined where the machine has one only, or does not know. */
  readonly numaNode: number | undefined;
  readonly readiness: Readiness;
}

export function listed(kernel: WithFiles, device: PciDevice, names: PciNames, readiness: Readiness): ListedDevice {
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
