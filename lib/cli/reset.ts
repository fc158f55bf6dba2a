import { PCI_CLASS_REVISION, PCI_VENDOR_ID } from '../abi/pci.js';
import { VFIO_NOIOMMU_IOMMU, VFIO_TYPE1v2_IOMMU } from '../abi/vfio/container.js';
import type { Kernel } from '../kernel/kernel.js';
import { readConfigFile } from '../pci/config-file.js';
import { hasVfioDriver } from '../pci/group.js';
import { placeOf } from '../pci/place.js';
import { resetMethods } from '../pci/reset-methods.js';
import { findDevice, findDevices, type PciDevice } from '../pci/topology.js';
import { Container } from '../vfio/container.js';
import { columns } from './columns.js';
import type { Context } from './context.js';
import { failed, Misuse, ok, Refusal } from './exit.js';
import { hex } from './hex.js';
import { assertReady, openVfio, type OpeningOptions } from './registers/open.js';

export interface ResetOptions extends OpeningOptions {
  readonly bus?: true;
  readonly dryRun?: true;
}

export async function reset(context: Context, options: ResetOptions, [address = '']: string[]): Promise<number> {
  const kernel = await context.kernel();
  const found = findDevice(kernel, address);
  return options.bus === true ? resetBus(context, kernel, found, options) : resetFunction(context, kernel, found, options);
}

function resetFunction(context: Context, kernel: Kernel, found: PciDevice, options: ResetOptions): number {
  const { address } = found;
  const methods = resetMethods(kernel, address);
  const by = methods[0] === undefined ? '' : ` by ${methods[0]}`;
  if (options.dryRun === true) {
    context.result({ address, methods, done: false }, () =>
      methods.length > 0 ? `${address} would be reset${by}` : `${address} can not be reset alone: sysfs has no reset_method of it`,
    );
    return methods.length > 0 ? ok : failed;
  }
  const before = identityOf(kernel, address);
  using opened = openVfio(kernel, address, options);
  if (!opened.device.info.resettable)
    throw new Error(`${address} can not be reset alone; --bus resets its bus with all that is on it, where it is behind a bridge`);
  opened.device.reset();
  assertAnswers(kernel, address, before);
  context.result({ address, methods, done: true }, () => `${address} is reset${by}, and answers`);
  return ok;
}

function resetBus(context: Context, kernel: Kernel, found: PciDevice, options: ResetOptions): number {
  if (options.by === 'node')
    throw new Misuse('A bus is reset by the groups of what is on it: --bus goes with --by group and compatibility');
  const devices = devicesOfBus(kernel, found.address);
  const bus = busOf(found.address);
  const foreign = devices.filter((device) => !hasVfioDriver(kernel, device));
  const print = (done: boolean): void =>
    context.result(
      { address: found.address, bus, devices: devices.map(({ address, group, driver }) => ({ address, group, driver })), done },
      () => `${done ? `Bus ${bus} is reset, and all of it answers` : `A reset of bus ${bus} would take along`}:\n${table(devices)}`,
    );
  if (options.dryRun === true) {
    print(false);
    return foreign.length === 0 ? ok : failed;
  }
  if (foreign.length > 0) {
    throw new Refusal(
      `A reset of bus ${bus} takes along what VFIO does not have:\n${table(foreign)}\nGive it to VFIO first: vfio bind ${foreign.map(({ address }) => address).join(' ')}`,
    );
  }
  for (const device of devices) assertReady(kernel, device, options);
  const identities = devices.map(({ address }) => ({ address, before: identityOf(kernel, address) }));
  hotReset(kernel, found, devices, options);
  for (const { address, before } of identities) assertAnswers(kernel, address, before);
  print(true);
  return ok;
}

/** With the groups of all of them open, which is how the kernel is shown that nobody else's are among them. */
function hotReset(kernel: Kernel, { address, group, noIommu }: PciDevice, devices: readonly PciDevice[], options: ResetOptions): void {
  using container = Container.open(kernel, options.by === 'compatibility' ? '/dev/iommu' : '/dev/vfio/vfio');
  const numbers = [...new Set(devices.flatMap((device) => device.group ?? []))];
  const groups = numbers.map((number) => (noIommu ? container.openNoIommuGroup(number) : container.openGroup(number)));
  container.setIommu(noIommu ? VFIO_NOIOMMU_IOMMU : VFIO_TYPE1v2_IOMMU);
  const own = groups.find(({ number }) => number === group);
  own?.openDevice(address, options.vfToken === undefined ? {} : { vfToken: options.vfToken }).hotReset(groups);
}

/** Everything on the device's bus, and below it. @throws Error for a root bus, which has no bridge that could reset it */
function devicesOfBus(kernel: Kernel, address: string): PciDevice[] {
  const bus = busOf(address);
  const places = findDevices(kernel).map((device) => ({ device, place: placeOf(kernel, device.address) }));
  if (placeOf(kernel, address).includes(`pci${bus}`))
    throw new Error(`${address} is on a root bus: no bridge is there that could reset it`);
  return places.filter(({ place }) => place.some((part) => part.startsWith(`${bus}:`))).map(({ device }) => device);
}

/** Of '0000:01:00.0', '0000:01'. */
function busOf(address: string): string {
  return address.slice(0, address.lastIndexOf(':'));
}

/** What the device says of itself on the bus, past VFIO, which has ids of its own to show. */
function identityOf(kernel: Kernel, address: string): string {
  const bytes = readConfigFile(kernel, address);
  const config = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return [PCI_VENDOR_ID, PCI_CLASS_REVISION].map((at) => hex(config.getUint32(at, true), 8)).join(' ');
}

function assertAnswers(kernel: Kernel, address: string, before: string): void {
  const now = identityOf(kernel, address);
  if (now !== before) throw new Error(`${address} is reset, and does not answer: its ids and class were ${before} and read as ${now}`);
}

function table(devices: readonly PciDevice[]): string {
  return columns(
    devices.map(({ address, group, driver }) => [address, group === undefined ? 'no group' : `group ${group}`, driver ?? 'no driver']),
    '  ',
  );
}
