/** From a kernel's error to the facts of the machine. */
import { expect, it } from 'vitest';
import { Container, explain, fail, KernelError, openDevice } from '../../lib/index.js';
import { VFIO_IOMMU_MAP_DMA } from '../../lib/abi/vfio/type1.js';
import { VFIO_SET_IOMMU } from '../../lib/abi/vfio/container.js';
import { Edu, Machine, type MachineOptions } from '../../lib/sim/index.js';
import { thrown } from '../support/thrown.js';

const address = '0000:00:03.0';
const machine = (options: MachineOptions = {}): Machine => new Machine({ devices: [{ model: new Edu() }], ...options });

it('says who has the group', () => {
  const { kernel } = machine();
  using _ = openDevice(kernel, address, { by: 'group' });
  using container = Container.open(kernel);
  const error = thrown(KernelError, () => container.openGroup(0));
  expect(error.checks).toEqual(['holder']);
  expect(explain(kernel, error)).toMatchObject([{ check: 'holder', device: address, evidence: [{ value: '/dev/vfio/0' }, {}] }]);
});

it('says whose a node is', () => {
  const { kernel } = machine({ user: 1000 });
  using container = Container.open(kernel);
  const error = thrown(KernelError, () => container.openGroup(0));
  expect([error.code, error.checks]).toEqual(['EACCES', ['node-access', 'container-node']]);
  expect(explain(kernel, error).map(({ check }) => check)).toEqual(['node-access', 'container-node']);
});

it('says which driver is in the way', () => {
  const { kernel } = machine({
    devices: [
      { model: new Edu(), group: 0 },
      { model: new Edu(), group: 0, driver: 'other', hostDriver: 'other' },
    ],
  });
  using container = Container.open(kernel);
  const error = thrown(KernelError, () => {
    container.openGroup(0);
    container.setIommu();
  });
  expect(error.checks).toContain('group-viable');
  expect(explain(kernel, error)).toMatchObject([{ check: 'group-viable', fix: ['npx vfio bind 0000:00:04.0'] }]);
});

it('says what may be locked, and how many mappings there are', () => {
  const { kernel } = machine({ lockedMemoryLimit: 4096 });
  using opened = openDevice(kernel, address, { by: 'group' });
  const error = thrown(KernelError, () => opened.dma.allocate(8192));
  expect(explain(kernel, error)).toMatchObject([{ check: 'memlock', evidence: [{ value: 'Max locked memory 4096 bytes' }, {}] }]);
});

it('says nothing where the machine is not the reason', () => {
  const { kernel } = machine();
  const failing = fail(kernel, { on: VFIO_IOMMU_MAP_DMA, errno: 'ENOMEM' });
  using opened = openDevice(failing, address, { by: 'group' });
  const error = thrown(KernelError, () => opened.dma.allocate(8192));
  expect([error.checks, explain(kernel, error)]).toEqual([['memlock'], []]);
  expect([explain(kernel, new Error('other')), explain(kernel, undefined)]).toEqual([[], []]);
  const plain = new KernelError(-22, { syscall: 'ioctl', request: VFIO_SET_IOMMU });
  expect(plain.checks).toEqual(['rmrr']);
  expect(new KernelError(-5, { syscall: 'nothing' }).checks).toEqual([]);
});
