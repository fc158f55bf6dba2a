import { isAddress } from './address.js';
import { readLinkName, type WithFiles } from './sysfs.js';
import { devicesPath } from './topology.js';

/**
 * What stands between the machine's root and a device, the device included: 'pci0000:00', which is a bus at the root, then
 * the bridges: '0000:00:1c.0', '0000:01:00.0'. It is a part of the device's path in sysfs.
 */
export function placeOf(kernel: WithFiles, address: string): readonly string[] {
  const target = kernel.files.readlink(`${devicesPath}/${address}`);
  const parts = typeof target === 'number' ? [] : target.split('/');
  const place = parts.filter((part) => isAddress(part) || /^pci[0-9a-f]{4,}:[0-9a-f]{2}$/.test(part));
  return place.length === 0 ? [address] : place;
}

/** The physical function that a virtual one is of. */
export function physicalFunctionOf(kernel: WithFiles, address: string): string | undefined {
  return readLinkName(kernel, `${devicesPath}/${address}/physfn`);
}
