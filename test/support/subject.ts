/** The kernels and machines a conformance suite runs on. */
import { readFileSync } from 'node:fs';
import { native } from '../../lib/kernel/native.js';
import type { Kernel } from '../../lib/kernel/kernel.js';
import { findDevices } from '../../lib/pci/topology.js';
import { Edu, Machine, type IommuKind, type KernelVersion } from '../../lib/sim/index.js';

/** Where a device is. */
export interface Place {
  readonly address: string;
  readonly group: number;
}

/** A kernel with a machine of the shape that every suite expects. */
export interface Subject {
  readonly kernel: Kernel;
  readonly version: KernelVersion;
  readonly iommu: IommuKind;
  /** An edu device, alone in its group, with vfio-pci. */
  readonly edu: Place;
  // And the parents of mediated devices, mtty, mdpy and mbochs, which every machine has.
  /** Another edu, in a group with a device that a host driver has. */
  readonly shared: Place;
}

export interface Variant {
  /** What results are filed under: 'simulated 7.3 intel'. */
  readonly name: string;
  readonly real: boolean;
  /** A machine nobody used; on a real kernel, the one there is. */
  readonly make: () => Subject;
}

function simulated(version: KernelVersion, iommu: IommuKind): Variant {
  return {
    name: `simulated ${version} ${iommu}`,
    real: false,
    make: () => {
      const edu = { address: '0000:00:03.0', group: 3 };
      const shared = { address: '0000:01:01.0', group: 5 };
      const { kernel } = new Machine({
        kernel: version,
        iommu,
        mediated: ['mtty', 'mdpy', 'mbochs'],
        devices: [
          { ...edu, model: new Edu() },
          { ...shared, model: new Edu() },
          { model: new Edu(), address: '0000:01:02.0', group: 5, driver: 'virtio-pci', hostDriver: 'virtio-pci' },
        ],
      });
      return { kernel, version, iommu, edu, shared };
    },
  };
}

/** In the lab: the kernel the test runs on. The lab says which machine it is. */
function real(iommu: IommuKind): Variant {
  const release = readFileSync('/proc/sys/kernel/osrelease', 'utf8');
  const version = /^\d+\.\d+/.exec(release)?.[0] as KernelVersion;
  return {
    name: `Linux ${version} ${iommu}`,
    real: true,
    make: () => {
      const kernel = native();
      const found = findDevices(kernel, { vendor: 0x1234, device: 0x11e8 });
      const place = (behindBridge: boolean): Place => {
        const device = found.find(({ address }) => address.startsWith('0000:00:') !== behindBridge);
        if (device?.group === undefined)
          throw new Error(`The machine lacks an edu device ${behindBridge ? 'behind a bridge' : 'alone'}, in an IOMMU group`);
        return { address: device.address, group: device.group };
      };
      // Looked up when a suite asks: not every machine has both.
      return {
        kernel,
        version,
        iommu,
        get edu() {
          return place(false);
        },
        get shared() {
          return place(true);
        },
      };
    },
  };
}

const lab = process.env['VFIO_LAB_IOMMU'] as IommuKind | undefined;

/** On the host: the simulated kernels. In the lab: the real one. */
export const variants: readonly Variant[] =
  lab === undefined
    ? (['6.12', '7.3'] as const).flatMap((version) => (['intel', 'amd'] as const).map((iommu) => simulated(version, iommu)))
    : [real(lab)];

/** Machines whose IOMMU does not isolate interrupts. */
export const unsafeVariants: readonly Variant[] =
  lab === undefined ? (['6.12', '7.3'] as const).map((version) => simulated(version, 'virtio')) : [real(lab)];
