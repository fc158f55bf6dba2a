/** The names users can import: a change here is a change of the package's contract. */
import { expect, it } from 'vitest';
import * as vfio from '../lib/index.js';
import * as pci from '../lib/pci/index.js';
import * as sim from '../lib/sim/index.js';

it('vfio', () => {
  expect(Object.keys(vfio).sort()).toEqual([
    'BadAnswerError',
    'ClosedError',
    'Container',
    'Device',
    'DmaBuffer',
    'Group',
    'Interrupt',
    'Interrupts',
    'KernelError',
    'OpenDevice',
    'Region',
    'Resource',
    'bindDriver',
    'createMediatedDevice',
    'findDevice',
    'findDevices',
    'groupDevices',
    'mediatedTypes',
    'native',
    'openDevice',
    'parseAddress',
  ]);
});

it('vfio/sim', () => {
  expect(Object.keys(sim).sort()).toEqual(['Edu', 'Machine', 'PciFunction']);
});

it('vfio/pci', () => {
  expect(
    Object.keys(pci)
      .filter((name) => !name.startsWith('PCI_'))
      .sort(),
  ).toEqual(['bindDriver', 'createMediatedDevice', 'findDevice', 'findDevices', 'groupDevices', 'mediatedTypes', 'parseAddress']);
});
