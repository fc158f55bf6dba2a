/** How a POWER machine freezes a device at an error, and thaws it, at the seam. No lab machine is one: the kernel's source is what these hold to. */
import { describe, expect, it } from 'vitest';
import { VFIO_SPAPR_TCE_v2_IOMMU } from '../../../lib/abi/vfio/container.js';
import { VFIO_EEH_PE_OP } from '../../../lib/abi/vfio/spapr.js';
import { other, place, powerMachine } from './power-machine.js';

const power = powerMachine();
const { number, eeh, inject, version1, version2 } = power;

describe('EEH_PE_OP', () => {
  const [disable, enable, unfreezeIo, unfreezeDma, getState, deactivate, hot, fundamental, configure] = [0, 1, 2, 3, 4, 5, 6, 7, 8];

  it('refuses what it does not know', () => {
    const container = version2();
    expect(eeh(container, 10)).toBe('EINVAL');
    expect(eeh(container, getState, { flags: 1 })).toBe('EINVAL');
    expect(eeh(container, getState, { argsz: 12 })).toBe('0');
    expect(inject(container, {}, 39)).toBe('EINVAL');
    expect([inject(container, { func: 20 }), inject(container, { func: 0xffff_ffff })]).toEqual(['EINVAL', 'EINVAL']);
    expect([inject(container, { type: 2 }), inject(container, { type: 2, func: 20 })]).toEqual(['ERANGE', 'EINVAL']);
    expect(eeh(container, getState)).toBe('0');
  });

  it('freezes at an error, and is thawed in two steps, in either order', () => {
    const container = version1();
    expect(inject(container)).toBe('0');
    expect(eeh(container, getState)).toBe('2');
    expect([eeh(container, unfreezeIo), eeh(container, getState)]).toEqual(['0', '4']);
    expect([eeh(container, unfreezeDma), eeh(container, getState)]).toEqual(['0', '0']);
    expect(inject(container, { type: 1, func: 19 })).toBe('0');
    expect([eeh(container, unfreezeDma), eeh(container, getState)]).toEqual(['0', '5']);
    expect([eeh(container, unfreezeIo), eeh(container, getState)]).toEqual(['0', '0']);
  });

  it('ENABLE thaws, DISABLE does nothing', () => {
    const container = version2();
    inject(container);
    expect([eeh(container, disable), eeh(container, getState)]).toEqual(['0', '2']);
    expect([eeh(container, enable), eeh(container, getState)]).toEqual(['0', '0']);
  });

  it.each([hot, fundamental])('a reset (%i) holds until it is deactivated', (kind) => {
    const container = version2();
    expect([eeh(container, kind), eeh(container, getState)]).toEqual(['0', '1']);
    expect([eeh(container, unfreezeIo), eeh(container, unfreezeDma), eeh(container, enable)]).toEqual(['EIO', 'EIO', 'EIO']);
    expect([eeh(container, deactivate), eeh(container, getState)]).toEqual(['0', '0']);
    expect(eeh(container, configure)).toBe('0');
  });

  it('works on each group, and tells the first state that is not normal', () => {
    const container = version2();
    const group = power.seam.group(other);
    power.seam.setContainer(group, container);
    expect([inject(container), eeh(container, getState)]).toEqual(['0', '2']);
    power.seam.close(group);
    expect(eeh(container, getState)).toBe('2');
  });

  it('a device that is opened is thawed', () => {
    const { container, group, device } = power.seam.ready(place, VFIO_SPAPR_TCE_v2_IOMMU);
    inject(container);
    power.seam.close(device);
    expect(eeh(container, getState)).toBe('2');
    expect(power.seam.device(group, place.address)).toBeGreaterThan(0);
    expect(eeh(container, getState)).toBe('0');
  });

  it('of an error whose struct runs past the end of its memory is EFAULT', () => {
    const container = version2();
    const start = power.memory.memory!.byteLength - 16;
    new Uint32Array(power.memory.memory!, start).set([40, 0, 9]);
    expect(number(container, VFIO_EEH_PE_OP, Number(power.address) + start)).toBe('EFAULT');
  });
});
