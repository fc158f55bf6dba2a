/** What devices do for the machine. `vfio bind` refuses to end it, and `vfio doctor` names it. */
import { hasVfioDriver } from '../group.js';
import { openNodes, processName, type OpenNode } from '../open-nodes.js';
import { list, readTextIfAny, type WithFiles } from '../sysfs.js';
import { devicesPath, groupDevices, groupNode, type PciDevice } from '../topology.js';
import { NetworkUses } from './network.js';
import { partsOf } from './parts.js';
import { StorageUses } from './storage.js';
import type { Use } from './use.js';

/** What each of the devices is used for, by address. `session`: the address of this machine that the user's connection came to. */
export function usesOf(kernel: WithFiles, devices: readonly PciDevice[], session?: string): Map<string, Use[]> {
  const storage = new StorageUses(kernel);
  const network = new NetworkUses(kernel, session);
  const open = openNodes(kernel).nodes;
  return new Map(
    devices.map((device) => {
      const parts = partsOf(kernel, device.address);
      const nodes = new Set([...parts.flatMap(({ node }) => node ?? []), ...vfioNodes(kernel, device)]);
      const uses = [
        ...parts.flatMap((part) => [...storage.of(part), ...network.of(part)]),
        ...consoleUse(kernel, device),
        ...virtualFunctionsUse(kernel, device),
        ...[...nodes].flatMap((node) => open.filter((each) => each.node === node).map((each) => openUse(kernel, each))),
      ];
      return [device.address, uses];
    }),
  );
}

/** While VFIO has it, nobody else gets it as long as one of its group is open, so all of them count. */
function vfioNodes(kernel: WithFiles, device: PciDevice): string[] {
  if (!hasVfioDriver(kernel, device) || device.group === undefined) return [];
  return [device.address, groupNode(device) ?? '', ...groupDevices(kernel, device.group).flatMap(({ node }) => node ?? [])];
}

function consoleUse(kernel: WithFiles, device: PciDevice): Use[] {
  const file = `${devicesPath}/${device.address}/boot_vga`;
  if (hasVfioDriver(kernel, device) || readTextIfAny(kernel, file) !== '1') return [];
  return [{ kind: 'console', says: 'it is the display that the machine started with', evidence: [{ file, value: '1' }] }];
}

function virtualFunctionsUse(kernel: WithFiles, { address }: PciDevice): Use[] {
  const file = `${devicesPath}/${address}/sriov_numvfs`;
  const count = readTextIfAny(kernel, file) ?? '0';
  const links = list(kernel, `${devicesPath}/${address}`).filter((name) => name.startsWith('virtfn'));
  if (count === '0' && links.length === 0) return [];
  const says = `it has ${count === '0' ? links.length : count} virtual functions, which end with its driver (echo 0 | sudo tee ${file})`;
  return [{ kind: 'virtual-functions', says, evidence: [{ file, value: count }] }];
}

function openUse(kernel: WithFiles, { process, node, descriptor }: OpenNode): Use {
  return {
    kind: 'open',
    says: `process ${process} (${processName(kernel, process)}) has ${node} open`,
    evidence: [{ file: descriptor, value: node }],
  };
}
