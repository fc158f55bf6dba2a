/** The machine as both kernels have it: what is found on the real one, and a simulated machine of the same shape. */
import type { Kernel } from '../../lib/kernel/kernel.js';
import { findDevice, findDevices } from '../../lib/pci/topology.js';
import { mockKernel } from '../support/mock/kernel.js';
import { Edu, Machine, type IommuKind, type KernelVersion, type MachineOptions } from '../../lib/sim/index.js';

/** A device that sequences use, by name. */
export interface Place {
  readonly name: string;
  readonly address: string;
  readonly group: number;
  readonly noIommu: boolean;
  /** Its own node. */
  readonly node: string | undefined;
}

export interface Shape {
  readonly version: KernelVersion;
  readonly iommu: IommuKind;
  readonly places: readonly Place[];
}

const edu = { vendor: 0x1234, device: 0x11e8 };

/** The devices of the machine that are simulated too: each edu that is not behind a bridge, where others share its group. */
export function findShape(kernel: Kernel, version: KernelVersion, iommu: IommuKind): Shape {
  const places = findDevices(kernel, edu).flatMap(({ address, group, noIommu, node }): Place[] => {
    if (group === undefined || !address.startsWith('0000:00:')) return [];
    return [{ name: 'edu', address, group, noIommu, node }];
  });
  // A second device of a machine without an IOMMU.
  return {
    version,
    iommu,
    places: places.map((place, index) => (index > 0 ? { ...place, name: 'other' } : place)),
  };
}

/** What the lab's own machines look like, for runs that have no lab. */
export function usualShape(version: KernelVersion, iommu: IommuKind): Shape {
  const none = iommu === 'none';
  const alone = { name: 'edu', address: '0000:00:03.0', group: none ? 0 : 3, noIommu: none, node: undefined };
  const places = none ? [alone, { ...alone, name: 'other', address: '0000:00:04.0', group: 1 }] : [alone];
  const { kernel } = makeMachine({ version, iommu, places });
  return { version, iommu, places: places.map((place) => ({ ...place, node: findDevice(kernel, place.address).node })) };
}

/** A machine that nobody used, of that shape, with the lab's kernel, which is one built for tests. */
export function makeMachine({ version, iommu, places }: Shape): Machine {
  const none = iommu === 'none';
  const options: MachineOptions = {
    kernel: version,
    iommu,
    unsafeNoIommu: none,
    devices: places.map(({ address, group }) => ({
      model: new Edu(none ? { dmaMask: 0xffff_ffff_ffffn } : {}),
      address,
      ...(!none && { group }),
    })),
  };
  return new Machine(options, mockKernel);
}
