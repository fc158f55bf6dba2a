import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { readTextIfAny, type WithFiles } from '../../pci/sysfs.js';
import type { PciDevice } from '../../pci/topology.js';
import type { Context } from '../context.js';
import { Misuse, Refusal } from '../exit.js';
import { hexValue, idsText } from '../hex.js';
import { modeFor, type Owner } from './owner.js';
import { textOf } from './text-file.js';

/** The rule's file, below the root of the system that it is for. It comes before those that load drivers. */
export function rulePath(root: string, address: string): string {
  return join(root, `etc/udev/rules.d/70-vfio-${address}.rules`);
}

/**
 * What gives the device to the driver when it appears, and its nodes to the owner. By address and ids: if another device is at
 * the address after a change of the hardware, it stays with its own driver.
 */
export function ruleFor(device: PciDevice, driver: string, owner: Owner | undefined): string {
  const { address } = device;
  const lines = [
    `# ${address} for ${driver}, by 'vfio bind --persistent'; 'vfio unbind --persistent ${address}' removes it.`,
    [
      `ACTION=="add", SUBSYSTEM=="pci", KERNEL=="${address}", ATTR{vendor}=="${hexValue(device.vendor, 16)}", ATTR{device}=="${hexValue(device.device, 16)}"`,
      `ATTR{driver_override}="${driver}"`,
      `RUN{builtin}+="kmod load ${driver}"`,
      `RUN+="/bin/sh -c 'echo ${address} > /sys/bus/pci/drivers_probe'"`,
    ].join(', '),
    ...(owner === undefined ? [] : ownerLines(address, owner)),
  ];
  const text = `${lines.join('\n')}\n`;
  return `${text}${seal(text)}`;
}

function ownerLines(address: string, owner: Owner): string[] {
  const { user, group } = owner.names;
  const mode = modeFor(owner).toString(8).padStart(4, '0');
  const access = `OWNER="${user}", ${group === undefined ? '' : `GROUP="${group}", `}MODE="${mode}"`;
  return [
    `SUBSYSTEM=="vfio", TEST=="/sys/kernel/iommu_groups/%k/devices/${address}", ${access}`,
    `SUBSYSTEM=="vfio-dev", KERNELS=="${address}", ${access}`,
  ];
}

/** The last line, by which a file says that nobody changed it. */
function seal(text: string): string {
  return `# sha256 of the lines above: ${createHash('sha256').update(text).digest('hex')}\n`;
}

/** Whether there is a rule's file. @throws Refusal for one that is not as it was written here. */
export function hasRule(path: string): boolean {
  const text = textOf(path);
  if (text === undefined) return false;
  const end = text.lastIndexOf('\n', text.length - 2) + 1;
  if (text.slice(end) === seal(text.slice(0, end))) return true;
  throw new Refusal(`Nothing was done: somebody changed ${path}, so it is not touched. If nobody needs it: sudo rm ${path}`);
}

/** The root of the system whose files are to be written, if any are. @throws Misuse */
export function persistentRoot(context: Context, { persistent, root }: { persistent?: true; root?: string }): string | undefined {
  if (persistent !== true) {
    if (root !== undefined) throw new Misuse('--root says where the files of --persistent go, which is missing');
    return undefined;
  }
  if (context.simulated !== undefined && root === undefined)
    throw new Misuse("A simulated machine has no files that last: --persistent needs a folder for them, by '--root FOLDER'");
  return root ?? '/';
}

/** What may keep the rule from having its way at boot, and what to do then. */
export function bootNotes(kernel: WithFiles, device: PciDevice, driver: string): string[] {
  const all = `vfio-pci.ids=${idsText(device)} on the kernel command line, which is for every device with these ids`;
  const own = device.driver;
  const notes: string[] = [];
  if (driver === 'vfio-pci' && isBuiltIn(kernel, driver))
    notes.push(`vfio-pci is built into this kernel: options in /etc/modprobe.d do nothing for it; earlier than udev is ${all}`);
  if (own !== undefined && own !== driver)
    notes.push(
      isBuiltIn(kernel, own)
        ? `${own} is built into this kernel and has ${device.address} before udev runs: the rule comes too late for it. ` +
            `Where vfio-pci is built in too, there is ${all}`
        : `If the initramfs has ${own}, that takes ${device.address} before the rule is read: ` +
            'then have the initramfs made anew with this file in it (update-initramfs -u, or dracut --force)',
    );
  return notes;
}

/** Modules that were loaded have a state. */
function isBuiltIn(kernel: WithFiles, driver: string): boolean {
  const module = `/sys/bus/pci/drivers/${driver}/module`;
  return kernel.files.access(module) === 0 && readTextIfAny(kernel, `${module}/initstate`) === undefined;
}
