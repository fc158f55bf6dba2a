/** A machine whose IOMMU does not isolate interrupts. */
import { afterEach, describe, expect, it } from 'vitest';
import { VFIO_TYPE1_IOMMU } from '../../lib/abi/vfio/container.js';
import { openDevice } from '../../lib/open.js';
import { MediatedDevices } from '../support/mediated.js';
import { answer, Seam } from '../support/seam.js';
import type { Variant } from '../support/subject.js';

export function unsafe(variant: Variant): void {
  describe('without isolated interrupts', () => {
    let seam: Seam | undefined;
    let devices: MediatedDevices | undefined;
    afterEach(() => {
      seam?.closeAll();
      devices?.removeAll();
      devices = undefined;
    });

    it('SET_IOMMU is EPERM, even for root, and the container keeps no type', () => {
      const subject = variant.make();
      seam = new Seam(subject.kernel);
      const container = seam.container();
      const group = seam.group(subject.edu);
      expect(answer(seam.setContainer(group, container))).toBe('0');
      expect(answer(seam.setIommu(container))).toBe('EPERM');
      expect(answer(seam.setIommu(container, VFIO_TYPE1_IOMMU))).toBe('EPERM');
      expect(answer(seam.device(group, subject.edu.address))).toBe('EINVAL');
    });

    it('a mediated device needs none, until a group that does comes to it', () => {
      const subject = variant.make();
      seam = new Seam(subject.kernel);
      devices = new MediatedDevices(subject.kernel);
      const { container, device } = seam.ready(devices.make('mtty-1'));
      expect(device).toBeGreaterThanOrEqual(0);
      expect(answer(seam.setContainer(seam.group(subject.edu), container))).toBe('EPERM');
    });

    it('openDevice says what to do and leaves nothing open', () => {
      const subject = variant.make();
      expect(() => openDevice(subject.kernel, subject.edu.address)).toThrow(/^EPERM.*BIND_IOMMUFD.*interrupt remapping/);
      expect(() => openDevice(subject.kernel, subject.edu.address, { by: 'group' })).toThrow(/^EPERM.*SET_IOMMU.*interrupt remapping/);
      seam = new Seam(subject.kernel);
      expect(seam.group(subject.edu)).toBeGreaterThanOrEqual(0);
    });
  });
}
