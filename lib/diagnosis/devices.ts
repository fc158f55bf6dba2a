/** Devices: their groups and drivers, and the state that they are in. */
import { PCI_COMMAND, PCI_COMMAND_MASTER, PCI_COMMAND_MEMORY } from '../abi/pci.js';
import { isAddress } from '../pci/address.js';
import { groupMembers, isBridge, type GroupMember } from '../pci/group.js';
import type { PciDevice } from '../pci/topology.js';
import type { Checks } from './check.js';
import type { Found } from './finding.js';
import { holdersOf } from './holders.js';
import { folderOf, line, type Scene } from './scene.js';

const members = (scene: Scene, group: number | undefined): PciDevice[] =>
  group === undefined ? [] : scene.all.filter((device) => device.group === group);

function* viable(scene: Scene): Iterable<Found> {
  for (const group of new Set(scene.devices.flatMap((device) => device.group ?? []))) {
    const devices = members(scene, group);
    const all = groupMembers(scene.kernel, group);
    const inTheWay = all.filter(({ harmless }) => !harmless);
    // A group that VFIO has nothing of is simply the host's.
    if (inTheWay.length === 0 || !devices.some((device) => scene.isVfio(device))) continue;
    const bridges = devices.filter(isBridge).map(({ address }) => address);
    yield {
      severity: 'failure',
      ...(scene.asked !== undefined && { device: scene.asked }),
      evidence: all.map(({ name, driver = '(none)', harmless }) =>
        line(`${memberFolder(group, name)}/driver`, `${driver}${harmless ? (bridges.includes(name) ? ', a bridge' : '') : ', in the way'}`),
      ),
      fix: fixesFor(group, inTheWay),
    };
  }
}

function fixesFor(group: number, inTheWay: readonly GroupMember[]): string[] {
  const names = inTheWay.map(({ name }) => name);
  const [devices, others] = [names.filter(isAddress), names.filter((name) => !isAddress(name))];
  return [
    ...(devices.length === 0 ? [] : [`npx vfio bind ${devices.join(' ')}`]),
    ...others.map((name) => `echo ${name} | sudo tee ${memberFolder(group, name)}/driver/unbind`),
  ];
}

/** Devices of other buses than PCI have theirs elsewhere. */
function memberFolder(group: number, name: string): string {
  return isAddress(name) ? folderOf(name) : `/sys/kernel/iommu_groups/${group}/devices/${name}`;
}

/** All functions of one device go together anyhow. */
function* isolation(scene: Scene): Iterable<Found> {
  if (scene.asked === undefined) return;
  for (const { address, group } of scene.devices) {
    const others = members(scene, group).filter((other) => !isBridge(other) && other.address.slice(0, -2) !== address.slice(0, -2));
    if (others.length > 0)
      yield {
        severity: 'note',
        device: address,
        evidence: [line(`/sys/kernel/iommu_groups/${group}/devices`, others.map((other) => other.address).join(' '))],
        fix: ['# Take another slot, best one of the processor, and look again: vfio list. Overriding ACS isolates nothing'],
      };
  }
}

function* overrides(scene: Scene): Iterable<Found> {
  for (const device of scene.asked === undefined ? scene.all : scene.devices) {
    const override = scene.override(device);
    if (override === undefined || override === device.driver) continue;
    const { address, driver } = device;
    yield {
      severity: 'warning',
      device: address,
      evidence: [line(`${folderOf(address)}/driver_override`, override), line(`${folderOf(address)}/driver`, driver)],
      fix: [`echo | sudo tee ${folderOf(address)}/driver_override`, `echo ${address} | sudo tee /sys/bus/pci/drivers_probe`],
    };
  }
}

function* notBound(scene: Scene): Iterable<Found> {
  if (scene.asked === undefined) return;
  for (const device of scene.devices)
    if (!scene.isVfio(device) && !isBridge(device))
      yield {
        severity: 'failure',
        device: device.address,
        evidence: [line(`${folderOf(device.address)}/driver`, device.driver)],
        fix: [`npx vfio bind ${device.address}`],
      };
}

function* bridges(scene: Scene): Iterable<Found> {
  if (scene.asked === undefined) return;
  for (const device of scene.devices)
    if (isBridge(device))
      yield {
        severity: 'failure',
        device: device.address,
        evidence: [line(`${folderOf(device.address)}/class`, `0x${device.classCode.toString(16).padStart(6, '0')}`)],
        fix: ['# Take a device behind it: vfio list --tree'],
      };
}

/** The beginning of configuration space, which everybody may read. */
function header(scene: Scene, { address }: PciDevice): DataView | undefined {
  const bytes = scene.bytes(`${folderOf(address)}/config`);
  return bytes === undefined || bytes.byteLength < 64 ? undefined : new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function* gone(scene: Scene): Iterable<Found> {
  for (const device of scene.devices)
    if (header(scene, device)?.getUint32(0, true) === 0xffff_ffff)
      yield {
        severity: 'failure',
        device: device.address,
        evidence: [line(`${folderOf(device.address)}/config`, 'ff ff ff ff')],
        fix: [`echo 1 | sudo tee ${folderOf(device.address)}/remove`, 'echo 1 | sudo tee /sys/bus/pci/rescan'],
      };
}

/** An idle device may sleep, and has no need to reach memory; one that somebody has open is to work. */
function* open(scene: Scene): Iterable<{ device: PciDevice; command: number | undefined }> {
  for (const device of scene.vfioDevices) {
    const view = header(scene, device);
    if (view?.getUint32(0, true) === 0xffff_ffff || holdersOf(scene, device).length === 0) continue;
    yield { device, command: view?.getUint16(PCI_COMMAND, true) };
  }
}

function* asleep(scene: Scene): Iterable<Found> {
  for (const { device } of open(scene)) {
    const file = `${folderOf(device.address)}/power_state`;
    const state = scene.find(file) ?? '';
    if (/^D[123]/.test(state))
      yield {
        severity: 'warning',
        device: device.address,
        evidence: [line(file, state)],
        fix: [
          `echo on | sudo tee ${folderOf(device.address)}/power/control`,
          '# or in the program that has it, put D0 into its power management capability',
        ],
      };
  }
}

function* commandBit(scene: Scene, bit: number, name: string, fix: string): Iterable<Found> {
  for (const { device, command } of open(scene))
    if (command !== undefined && (command & bit) === 0)
      yield {
        severity: 'note',
        device: device.address,
        evidence: [line(`${folderOf(device.address)}/config`, `command 0x${command.toString(16).padStart(4, '0')}, without ${name}`)],
        fix: [fix],
      };
}

function* resets(scene: Scene): Iterable<Found> {
  if (scene.asked === undefined) return;
  for (const { address } of scene.vfioDevices) {
    const methods = `${folderOf(address)}/reset_method`;
    if ((scene.find(methods) ?? '') === '' && !scene.exists(`${folderOf(address)}/reset`))
      yield {
        severity: 'note',
        device: address,
        evidence: [line(methods, undefined)],
        fix: ['# Put the device into a known state in the driver; device.hotReset() resets its bus where all of that is yours'],
      };
  }
}

function* tokens(scene: Scene): Iterable<Found> {
  for (const { address } of scene.asked === undefined ? [] : scene.vfioDevices) {
    const physical = scene.linkName(`${folderOf(address)}/physfn`);
    const parent = scene.all.find((device) => device.address === physical);
    if (parent !== undefined && scene.isVfio(parent))
      yield {
        severity: 'note',
        device: address,
        evidence: [line(`${folderOf(address)}/physfn`, physical), line(`${folderOf(parent.address)}/driver`, parent.driver)],
        fix: ['# Open it with the token: openDevice(kernel, address, { vfToken })'],
      };
  }
}

export const deviceChecks = {
  'group-viable': viable,
  acs: isolation,
  'stale-override': overrides,
  'not-bound': notBound,
  bridge: bridges,
  'device-gone': gone,
  'power-state': asleep,
  'memory-decode': (scene) =>
    commandBit(
      scene,
      PCI_COMMAND_MEMORY,
      'memory decode',
      '# Set bit 1 of the command register, in the program that has it: config.write16(4, …)',
    ),
  'bus-master': (scene) => commandBit(scene, PCI_COMMAND_MASTER, 'bus mastering', '# In the program that has it: device.enableBusMaster()'),
  'reset-method': resets,
  'vf-token': tokens,
} satisfies Checks;
