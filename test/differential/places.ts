/** The machine as both kernels have it: what is found on the real one, and a simulated machine of the same shape. */
import type { Kernel } from '../../lib/kernel/kernel.js';
import { findDevices, type PciDevice } from '../../lib/pci/topology.js';
import { mockKernel } from '../support/mock/kernel.js';
import {
  E1000e,
  Edu,
  Machine,
  Nvme,
  type DeviceOptions,
  type IommuKind,
  type KernelVersion,
  type MachineOptions,
  type PciFunction,
} from '../../lib/sim/index.js';
import { placement, type Placement } from './hardware-state.js';

/** What a device is: by it recipes know registers. */
export type Hardware = 'edu' | 'nvme' | 'e1000e' | MediatedHardware;
export type MediatedHardware = 'mtty' | 'mdpy' | 'mbochs';

/** A device that sequences use, by name. */
export interface Place {
  readonly name: string;
  readonly hardware: Hardware;
  readonly address: string;
  readonly group: number;
  readonly noIommu: boolean;
}

/** A device of the machine, and what firmware made of it. */
export interface PciPlace extends Place {
  readonly placement: Placement | undefined;
}

export interface Shape {
  readonly version: KernelVersion;
  readonly iommu: IommuKind;
  readonly places: readonly PciPlace[];
  /** Devices that a host driver has, in the group of a place. */
  readonly held: readonly Pick<Place, 'address' | 'group'>[];
}

const ids = {
  edu: { vendor: 0x1234, device: 0x11e8 },
  nvme: { vendor: 0x1b36, device: 0x0010 },
  e1000e: { vendor: 0x8086, device: 0x10d3 },
} as const;

const onFirstBus = ({ address }: PciDevice): boolean => address.startsWith('0000:00:');

/**
 * Of a real machine what is simulated too. 'edu' is alone; 'other' a second one, where no IOMMU makes groups; 'shared' is behind a
 * bridge, in a group with a device of a host driver; 'card' an e1000e behind a port.
 */
export function findShape(kernel: Kernel, version: KernelVersion, iommu: IommuKind): Shape {
  const found = findDevices(kernel);
  const like = (hardware: keyof typeof ids): PciDevice[] =>
    found.filter(({ vendor, device }) => vendor === ids[hardware].vendor && device === ids[hardware].device);
  const [edu, other] = like('edu').filter(onFirstBus);
  const shared = like('edu').find((device) => !onFirstBus(device));
  const named: [string, Hardware, PciDevice | undefined][] = [
    ['edu', 'edu', edu],
    ['other', 'edu', other],
    ['nvme', 'nvme', like('nvme').find(onFirstBus)],
    ['shared', 'edu', shared],
    ['card', 'e1000e', like('e1000e')[0]],
  ];
  const places = named.flatMap(([name, hardware, device]): PciPlace[] => {
    if (device?.group === undefined) return [];
    const { address, group, noIommu } = device;
    return [{ name, hardware, address, group, noIommu, placement: placement(address) }];
  });
  const held = found.flatMap(({ address, group, driver }) => {
    const sharesGroup = shared !== undefined && group === shared.group && address.slice(0, 7) === shared.address.slice(0, 7);
    return sharesGroup && group !== undefined && driver !== 'vfio-pci' ? [{ address, group }] : [];
  });
  return { version, iommu, places, held };
}

/** What the lab's own machines look like, for runs that have no lab. */
export function usualShape(version: KernelVersion, iommu: IommuKind): Shape {
  const noIommu = iommu === 'none';
  const place = (name: string, hardware: Hardware, address: string, group: number): PciPlace => ({
    ...{ name, hardware, address, group, noIommu },
    placement: undefined,
  });
  if (noIommu)
    return {
      ...{ version, iommu },
      places: [
        place('edu', 'edu', '0000:00:03.0', 0),
        place('other', 'edu', '0000:00:04.0', 1),
        place('nvme', 'nvme', '0000:00:06.0', 2),
        place('card', 'e1000e', '0000:01:00.0', 3),
      ],
      held: [],
    };
  const alone = [place('edu', 'edu', '0000:00:03.0', 3), place('nvme', 'nvme', '0000:00:06.0', 6)];
  if (iommu === 'virtio') return { version, iommu, places: alone, held: [] };
  return {
    ...{ version, iommu },
    places: [...alone, place('shared', 'edu', '0000:01:01.0', 4), place('card', 'e1000e', '0000:02:00.0', 7)],
    held: [{ address: '0000:01:02.0', group: 4 }],
  };
}

/** A machine that nobody used, of that shape, with the lab's kernel, which is one built for tests. */
export function makeMachine({ version, iommu, places, held }: Shape): Machine {
  const none = iommu === 'none';
  const models = new Map<PciPlace, PciFunction>(places.map((place) => [place, modelOf(place)]));
  const inOrder = [...places].sort((first, second) => (none ? first.group - second.group : first.address < second.address ? -1 : 1));
  const taken = inOrder.map((place): DeviceOptions => {
    const { address, group } = place;
    return { model: models.get(place) as PciFunction, address, ...(!none && { group }) };
  });
  const others = held.map(
    ({ address, group }): DeviceOptions => ({
      model: new Edu(),
      address,
      group,
      driver: 'virtio-pci',
      hostDriver: 'virtio-pci',
    }),
  );
  const options: MachineOptions = {
    ...{ kernel: version, iommu, unsafeNoIommu: none },
    mediated: ['mtty', 'mdpy', 'mbochs'],
    devices: [...taken, ...others],
  };
  const machine = new Machine(options, mockKernel);
  for (const [{ placement }, model] of models) placement?.give(model);
  return machine;
}

function modelOf({ hardware, noIommu }: PciPlace): PciFunction {
  switch (hardware) {
    case 'nvme':
      return new Nvme({ serial: 'lab' });
    case 'e1000e':
      return new E1000e({ station: '52:54:00:12:34:56' });
    default:
      return new Edu(noIommu ? { dmaMask: 0xffff_ffff_ffffn } : {});
  }
}
