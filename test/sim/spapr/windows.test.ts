/** The windows of DMA addresses that a POWER machine makes and removes, at the seam. No lab machine is one: the kernel's source is what these hold to. */
import { describe, expect, it } from 'vitest';
import { VFIO_IOMMU_ENABLE } from '../../../lib/abi/vfio/spapr.js';
import { answer } from '../../support/seam.js';
import { large, other, page, powerMachine, window64 } from './power-machine.js';

const power = powerMachine();
const { number, map, register, unregister, create, remove, version1, version2 } = power;

describe('windows', () => {
  it('can be two, each where the platform wants it', () => {
    const container = version2();
    expect(create(container)).toBe('0x800000000000000');
    expect(create(container)).toBe('ENOSPC');
    expect(remove(container, { start_addr: window64 + 5n })).toBe('0');
    expect(remove(container, { start_addr: window64 })).toBe('EINVAL');
    expect(create(container, { page_shift: 21, window_size: 1n << 40n, levels: 2 })).toBe('0x800000000000000');
    expect(remove(container)).toBe('0');
    expect(create(container)).toBe('0x0');
  });

  it('the first can go before it was made, and another takes its place', () => {
    const container = version2();
    expect([remove(container), remove(container)]).toEqual(['0', 'EINVAL']);
    expect(register(container)).toBe('0');
    expect(map(container)).toBe('ENXIO');
    expect(create(container)).toBe('0x0');
    expect(map(container, { size: large })).toBe('0');
  });

  it('of a shape there is none of are EINVAL', () => {
    const container = version2();
    for (const fields of [
      { flags: 1 },
      { page_shift: 13 },
      { page_shift: 0 },
      { page_shift: 64 + 12 },
      { window_size: 0n },
      { window_size: 3n << 30n },
      { window_size: page },
      { levels: 0 },
      { levels: 6 },
      { window_size: 1n << 63n, page_shift: 12 },
    ])
      expect([fields, create(container, fields)]).toEqual([fields, 'EINVAL']);
    expect(remove(container, { flags: 1 })).toBe('EINVAL');
  });

  it('have pages of their own, which memory must lie on', () => {
    const container = version2();
    expect(register(container, { vaddr: power.address, size: 3n * large })).toBe('0');
    expect(create(container)).toBe('0x800000000000000');
    expect(map(container, { iova: window64, size: page })).toBe('EINVAL');
    expect(map(container, { iova: window64, size: large, vaddr: power.address + page })).toBe('EINVAL');
    expect(map(container, { iova: window64 + page, size: large })).toBe('1');
    expect(map(container, { iova: window64, size: large })).toBe('0');
  });

  it('cannot have pages larger than what the registered memory consists of', () => {
    const container = version2();
    // Registered from half a large page on: smaller pages are all it has.
    expect(register(container, { vaddr: power.address + page, size: 3n * large })).toBe('0');
    expect(create(container)).toBe('0x800000000000000');
    expect(map(container, { iova: window64, vaddr: power.address + large, size: large })).toBe('EINVAL');
    expect(map(container, { iova: 0n, vaddr: power.address + large, size: large })).toBe('0');
  });

  it('are emptied by a group that leaves, though another stays', () => {
    const container = version2();
    const group = power.seam.group(other);
    expect(answer(power.seam.setContainer(group, container))).toBe('0');
    expect([register(container), map(container)]).toEqual(['0', '0']);
    power.seam.close(group);
    // Nothing maps it now: the last claim takes the region along.
    expect([unregister(container), map(container)]).toEqual(['0', 'EINVAL']);
  });

  it('do not hold what lies between two', () => {
    const container = version2();
    expect([register(container), create(container)]).toEqual(['0', `0x${window64.toString(16)}`]);
    expect([map(container, { iova: 1n << 40n, size: large }), map(container, { iova: window64, size: large })]).toEqual(['ENXIO', '0']);
  });

  it('and mappings look at argsz, and windows at a page size that no number has', () => {
    const container = version1();
    expect(number(container, VFIO_IOMMU_ENABLE)).toBe('0');
    expect([map(container, { argsz: 31 }), map(container)]).toEqual(['EINVAL', '0']);
    power.seam.closeAll();
    const second = version2();
    expect([create(second, { argsz: 23 }), create(second, { page_shift: 0xffff_ffff }), create(second, { levels: 6 })]).toEqual([
      ...['EINVAL', 'EINVAL', 'EINVAL'],
    ]);
    expect(create(second, { window_size: 0n })).toBe('EINVAL');
  });
});
