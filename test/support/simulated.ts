/** Simulated machines of the shape that the conformance suites expect. */
import { E1000e, Edu, Machine, Nvme, wire, type IommuKind, type KernelVersion, type MachineOptions } from '../../lib/sim/index.js';
import type { TestKernel } from '../../lib/sim/machine.js';
import { Vga } from './models/vga.js';
import { NvmeFunction } from './nvme-function.js';
import { mockKernel } from './mock/kernel.js';
import type { Place, Variant } from './subject.js';
import { byIommufd } from './variant-name.js';

export function simulate(
  version: KernelVersion,
  iommu: IommuKind,
  options: Pick<MachineOptions, 'lockedMemoryLimit' | 'container'> = {},
): Variant {
  const { container = 'vfio' } = options;
  return {
    name: `simulated ${version} ${iommu}${byIommufd(container)}${options.lockedMemoryLimit === undefined ? '' : ', without CAP_IPC_LOCK'}`,
    real: false,
    container,
    version,
    make: () => {
      const edu = { address: '0000:00:03.0', group: 3 };
      const shared = { address: '0000:01:01.0', group: 5 };
      const express = { address: '0000:02:00.0', group: 7 };
      const nvme = { address: '0000:00:04.0', group: 4 };
      const physical = { address: '0000:03:00.0', group: 8 };
      const virtual = { address: '0000:03:00.1', group: 9 };
      const wired = [
        { address: '0000:04:00.0', group: 10 },
        { address: '0000:05:00.0', group: 11 },
      ] as const;
      const [left, right] = [new E1000e({ station: '52:54:00:00:00:01' }), new E1000e({ station: '52:54:00:00:00:02' })];
      wire(left, right);
      const lone = { address: '0000:06:00.0', group: 12 };
      const display = { address: '0000:00:0d.0', group: 13 };
      const machine = new Machine({
        ...options,
        kernel: version,
        iommu,
        mediated: ['mtty', 'mdpy', 'mbochs'],
        devices: [
          { ...edu, model: new Edu() },
          { ...shared, model: new Edu() },
          { model: new Edu(), address: '0000:01:02.0', group: 5, driver: 'virtio-pci', hostDriver: 'virtio-pci' },
          { ...express, model: new E1000e({ station: '52:54:00:12:34:56' }) },
          { ...nvme, model: new Nvme({ serial: 'lab' }) },
          { ...wired[0], model: left },
          { ...wired[1], model: right },
          { ...physical, model: new NvmeFunction({ virtualFunctions: 2 }) },
          { ...virtual, model: new NvmeFunction(), physicalFunction: physical.address },
          { ...lone, model: new NvmeFunction({ virtualFunctions: 2 }) },
          { ...display, model: new Vga() },
        ],
      });
      return {
        kernel: machine.kernel,
        version,
        iommu,
        container,
        edu,
        shared,
        express,
        nvme,
        wired,
        lone,
        display,
        functions: () => ({ physical, virtual }),
        as: (user, action) => asUser(machine, user, action),
        asleep: async () => {},
        unbind: (address) => machine.unbind(address),
      };
    },
  };
}

/** A machine without an IOMMU, in no-IOMMU mode, and two devices. */
export function simulateNoIommu(version: KernelVersion, rawIo: boolean, test: TestKernel = {}): Variant {
  const lesser = rawIo ? '' : ', without CAP_SYS_RAWIO';
  return {
    name: `simulated ${version} none${lesser}${test === mockKernel ? ', with mock devices' : ''}`,
    real: false,
    container: 'vfio',
    version,
    make: () => {
      const devices = [1, 2].map(() => ({ model: new Edu({ dmaMask: 0xffff_ffff_ffffn }) }));
      const machine = new Machine({ kernel: version, iommu: 'none', unsafeNoIommu: true, rawIo, devices }, test);
      return {
        kernel: machine.kernel,
        version,
        iommu: 'none',
        container: 'vfio',
        edu: { address: '0000:00:03.0', group: 0 },
        get shared(): Place {
          throw new Error('Without an IOMMU no devices share a group');
        },
        get express(): Place {
          throw new Error('This machine has no bridge');
        },
        get nvme(): Place {
          throw new Error('This machine has no nvme');
        },
        get wired(): readonly [Place, Place] {
          throw new Error('This machine has no cards');
        },
        get lone(): Place {
          throw new Error('This machine has no physical functions');
        },
        get display(): Place {
          throw new Error('This machine has no display');
        },
        functions: () => {
          throw new Error('This machine has no virtual functions');
        },
        as: (user, action) => asUser(machine, user, action),
        asleep: async () => {},
        unbind: (address) => machine.unbind(address),
      };
    },
  };
}

/** With the kernel's mock devices (test/support/mock). */
export function simulateMocks(version: KernelVersion): Variant {
  return simulateNoIommu(version, true, mockKernel);
}

function asUser(machine: Machine, user: number, action: () => void): void {
  const before = machine.user;
  machine.user = user;
  try {
    action();
  } finally {
    machine.user = before;
  }
}
