import { columns } from '../columns.js';
import type { ListedDevice } from './listed-device.js';
import type { Paint } from '../paint.js';
import { classWords, deviceWords, readinessWords } from './words.js';

/** Devices below their IOMMU groups, in the groups' order; those without one at the end. */
export function groupText(devices: readonly ListedDevice[], paint: Paint): string {
  const severalNodes = new Set(devices.map(({ numaNode }) => numaNode)).size > 1;
  const groups = new Map<number | undefined, string[]>();
  // One table, whose lines are then put below their groups: so all columns are as wide.
  const lines = columns(
    devices.map((device) => [
      paint('name', device.address),
      classWords(device),
      deviceWords(device),
      ...(severalNodes ? [device.numaNode === undefined ? '' : `node ${device.numaNode}`] : []),
      device.driver ?? '-',
      readinessWords(device, device.readiness, paint),
    ]),
    '  ',
  ).split('\n');
  devices.forEach(({ group }, index) => groups.set(group, [...(groups.get(group) ?? []), lines[index] ?? '']));
  return [...groups.keys()]
    .sort((a, b) => (a ?? Infinity) - (b ?? Infinity))
    .map((group) => [paint('strong', group === undefined ? 'no group' : `group ${group}`), ...(groups.get(group) ?? [])].join('\n'))
    .join('\n');
}
