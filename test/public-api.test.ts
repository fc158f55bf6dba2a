/** The names users can import: a change here is a change of the package's contract. */
import { expect, it } from 'vitest';
import * as rfc from '../lib/abi/iommufd/rfc-2022.js';
import * as driver from '../lib/driver/index.js';
import * as vfio from '../lib/index.js';
import * as pci from '../lib/pci/index.js';
import * as sim from '../lib/sim/index.js';
import * as vsva from '../lib/vfio/vsva-2020.js';

it('vfio/driver', () => {
  expect(Object.keys(driver).sort()).toEqual([
    'DescriptorRing',
    'DeviceRegister',
    'bit',
    'bits',
    'deviceRegisters',
    'memoryBarrier',
    'pollUntil',
    'reg16',
    'reg32',
    'reg64',
    'reg8',
    'registers',
  ]);
});

it('vfio', () => {
  expect(Object.keys(vfio).sort()).toEqual([
    'BadAnswerError',
    'Cdev',
    'ClosedError',
    'Container',
    'ContainerDirtyTracking',
    'DepartedError',
    'Device',
    'DirtyBitmap',
    'DmaBuf',
    'DmaBuffer',
    'DmaLog',
    'DmaPool',
    'Eeh',
    'FaultQueue',
    'Features',
    'Graphics',
    'Group',
    'HardwareQueue',
    'HardwareRegisters',
    'Interrupt',
    'Interrupts',
    'InvalidationError',
    'IoEventfd',
    'Ioas',
    'Iommufd',
    'KernelError',
    'MemoryFile',
    'Migration',
    'MigrationData',
    'NestedPageTable',
    'OpenDevice',
    'PageTable',
    'PageTableDirtyTracking',
    'PhysicalSpace',
    'Region',
    'Resource',
    'SharedBuffer',
    'SharedRegion',
    'Spapr',
    'VirtualDevice',
    'VirtualEventQueue',
    'VirtualIommu',
    'audit',
    'bindDriver',
    'createMediatedDevice',
    'explain',
    'fail',
    'findDevice',
    'findDevices',
    'groupDevices',
    'mediatedTypes',
    'native',
    'openDevice',
    'parseAddress',
    'physicalAddress',
    'record',
    'replay',
    'trace',
  ]);
});

it('vfio/sim', () => {
  expect(Object.keys(sim).sort()).toEqual(
    [
      ...['Edu', 'Capture', 'E1000e', 'Machine', 'Nvme', 'PciFunction', 'pcapFrame', 'pcapHeader', 'readPcap', 'wire', 'writePcap'],
      ...['advancedFeatures', 'Capability', 'express', 'msi', 'msix', 'powerManagement', 'vendorSpecific', 'vitalProductData'],
      ...['errorReporting', 'ExtendedCapability', 'manyFunctions', 'serialNumber', 'virtualFunctions'],
      ...['bit', 'bits', 'reg16', 'reg32', 'reg64', 'reg8', 'RegisterBlock', 'registers'],
      'failEach',
      'parseMachine',
    ].sort(),
  );
});

it('vfio/vsva-2020', () => {
  expect(
    Object.keys(vsva)
      .filter((name) => !/^(NR_)?(VFIO|IOMMU)_|^(vfio|iommu)_/.test(name))
      .sort(),
  ).toEqual([
    'GuestAddressSpaces',
    'GuestPageTable',
    'decodeFault',
    'encodePageResponse',
    'invalidationValidity',
    'nestingCapability',
    'proposedRequests',
  ]);
});

it('vfio/iommufd-rfc', () => {
  expect(Object.keys(rfc).filter((name) => !/^IOMMU(FD)?_|^iommu_/.test(name))).toEqual(['renumberedRequests']);
});

it('vfio/pci', () => {
  expect(
    Object.keys(pci)
      .filter((name) => !/^(PCI|HT)_/.test(name))
      .sort(),
  ).toEqual([
    'bindDriver',
    'createMediatedDevice',
    'decodeConfigSpace',
    'findDevice',
    'findDevices',
    'groupDevices',
    'mediatedTypes',
    'parseAddress',
  ]);
});
