import { physicalFunctionOf, placeOf } from '../../pci/place.js';
import { readTextIfAny, type WithFiles } from '../../pci/sysfs.js';
import { devicesPath } from '../../pci/topology.js';
import { columns } from '../columns.js';
import { hex } from '../hex.js';
import type { ListedDevice } from './listed-device.js';
import type { Paint } from '../paint.js';
import { classWords, deviceWords, readinessWords } from './words.js';

/** A bus at the machine's root, or a function with what is below it: a bridge's bus, or virtual functions. */
interface Branch {
  readonly name: string;
  readonly below: Map<string, Branch>;
}

/** How devices hang on buses and bridges, those above them included. */
export function treeText(kernel: WithFiles, devices: readonly ListedDevice[], paint: Paint): string {
  const roots = new Map<string, Branch>();
  for (const { address } of devices) {
    let level = roots;
    for (const name of way(kernel, address)) {
      const branch = level.get(name) ?? { name, below: new Map<string, Branch>() };
      level.set(name, branch);
      level = branch.below;
    }
  }
  const known = new Map(devices.map((device) => [device.address, device]));
  const rows: string[][] = [];
  const add = ({ name, below }: Branch, first: string, rest: string): void => {
    const device = known.get(name);
    const words = device === undefined ? [] : cells(device, paint);
    rows.push([`${first}${paint(device === undefined ? 'strong' : 'name', name)}${busWords(kernel, name)}`, ...words]);
    [...below.values()].sort(byName).forEach((branch, index, all) => {
      const last = index === all.length - 1;
      add(branch, `${rest}${last ? '└─ ' : '├─ '}`, `${rest}${last ? '   ' : '│  '}`);
    });
  };
  for (const root of [...roots.values()].sort(byName)) add(root, '', '');
  return columns(rows.map((row) => [...row, ...Array<string>(5 - row.length).fill('')]));
}

const byName = (a: Branch, b: Branch): number => (a.name < b.name ? -1 : 1);

function cells(device: ListedDevice, paint: Paint): string[] {
  return [classWords(device), deviceWords(device), device.driver ?? '-', readinessWords(device, device.readiness, paint)];
}

/** From the root to the device; to a virtual function over its physical one. */
function way(kernel: WithFiles, address: string): readonly string[] {
  const physical = physicalFunctionOf(kernel, address);
  return [...placeOf(kernel, physical ?? address), ...(physical === undefined ? [] : [address])];
}

/** Of a bridge, the buses behind it. */
function busWords(kernel: WithFiles, name: string): string {
  const [first, last] = ['secondary', 'subordinate'].map((which) => {
    const number = readTextIfAny(kernel, `${devicesPath}/${name}/${which}_bus_number`);
    return number === undefined ? undefined : hex(Number(number), 2);
  });
  if (first === undefined || last === undefined) return '';
  return first === last ? ` [${first}]` : ` [${first}-${last}]`;
}
