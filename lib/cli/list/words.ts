import type { Readiness } from '../../pci/readiness.js';
import type { PciDevice } from '../../pci/topology.js';
import { hex, idsText } from '../hex.js';
import type { ListedDevice } from './listed-device.js';
import type { Paint } from '../paint.js';

/** 'Intel Corporation 82574L Gigabit Network Connection [8086:10d3]', as lspci has it. */
export function deviceWords({ vendor, device, names }: Pick<ListedDevice, 'vendor' | 'device' | 'names'>): string {
  const named = names.device ?? 'Device';
  return `${names.vendor === undefined ? named : `${names.vendor} ${named}`} [${idsText({ vendor, device })}]`;
}

/** 'Ethernet controller', or the number of what has no name. */
export function classWords({ classCode, names }: Pick<ListedDevice, 'classCode' | 'names'>): string {
  return names.class ?? `class ${hex(classCode >> 8, 4)}`;
}

/** Whether VFIO can have the device, and why not. */
export function readinessWords({ noIommu }: Pick<PciDevice, 'noIommu'>, readiness: Readiness, paint: Paint): string {
  const { state, blockers, holders } = readiness;
  switch (state) {
    case 'ready':
      return noIommu ? paint('doubtful', 'ready, without an IOMMU') : paint('good', 'ready');
    case 'in-use':
      return paint('doubtful', `in use by ${holders.map(({ pid, name }) => `${pid} (${name})`).join(', ')}`);
    case 'group-not-viable':
      return paint('bad', `group not viable: ${blockers.map(({ name, driver }) => `${name} is with ${driver}`).join(', ')}`);
    case 'needs-driver':
      return 'needs vfio-pci';
    case 'no-group':
      return 'no IOMMU group';
    case 'bridge':
      return paint('faint', 'bridge');
  }
}
