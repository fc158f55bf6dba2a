/** The token of virtual functions, while vfio-pci has their physical one. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Cdev, findDevice, Iommufd } from '../../lib/index.js';
import { Container } from '../../lib/vfio/container.js';
import { answer, Seam } from '../support/seam.js';
import type { Place, Subject, Variant } from '../support/subject.js';

const token = 'bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3';
const other = '00000000-5a5f-4f5a-a211-f591514ba1f3';
const [GET, SET, PROBE] = [1 << 16, 1 << 17, 1 << 18];
const VF_TOKEN = 0;

export function tokens(variant: Variant): void {
  describe('VF token', () => {
    let subject: Subject;
    let seam: Seam;
    let physical: Place;
    let virtual: Place;
    let group: number;

    beforeEach(() => {
      subject = variant.make();
      seam = new Seam(subject.kernel);
      ({ physical, virtual } = subject.functions());
      const { device } = seam.ready(physical);
      expect(answer(seam.feature(device, SET | VF_TOKEN, Uint8Array.from(Buffer.from(token.replaceAll('-', ''), 'hex'))))).toBe('0');
      const container = seam.container();
      group = seam.group(virtual);
      seam.setContainer(group, container);
      seam.setIommu(container);
    });
    afterEach(() => seam.closeAll());

    const open = (text: string, file = group): string => {
      const result = seam.device(file, text);
      return result >= 0 ? 'an fd' : answer(result);
    };

    it('can be set, and not asked for', () => {
      seam.closeAll();
      const { device } = seam.ready(physical);
      const bytes = new Uint8Array(16);
      expect([PROBE | SET, PROBE | GET, GET, SET].map((flags) => answer(seam.feature(device, flags | VF_TOKEN, bytes)))).toEqual([
        '0',
        'EINVAL',
        'EINVAL',
        '0',
      ]);
      expect(answer(seam.feature(device, SET | VF_TOKEN, new Uint8Array(15)))).toBe('EINVAL');
    });

    it('opens the virtual function for who knows it', () => {
      const { address } = virtual;
      expect(open(address)).toBe('EACCES');
      expect(open(`${address} vf_token=${other}`)).toBe('EACCES');
      expect(open(`${address} vf_token=${token}`)).toBe('an fd');
      expect(open(`${address}   vf_token=${token.toUpperCase()}  `)).toBe('an fd');
    });

    it('is given with the bind by its own node, where the kernel knows that', () => {
      seam.close(group);
      using iommufd = Iommufd.open(subject.kernel);
      const listed = findDevice(subject.kernel, virtual.address);
      const newer = subject.version === '7.3';
      if (newer) expect(() => Cdev.open(iommufd, listed)).toThrow(/^EACCES: .*vfToken/);
      expect(() => Cdev.open(iommufd, listed, { vfToken: other })).toThrow(newer ? /^EACCES/ : /^EINVAL/);
      const device = Cdev.open(iommufd, listed, newer ? { vfToken: token } : {});
      expect(device.address).toBe(virtual.address);
    });

    it('is all that may stand behind the name, once and whole', () => {
      const { address } = virtual;
      expect(open(`${address} `)).toBe('EACCES');
      expect(open(`${address}x`)).toBe('ENODEV');
      expect(open(`${address} token`)).toBe('EINVAL');
      expect(open(`${address} vf_token=${token.slice(1)}`)).toBe('EINVAL');
      expect(open(`${address} vf_token=${token.replaceAll('-', '+')}`)).toBe('EINVAL');
      expect(open(`${address} vf_token=${token} vf_token=${token}`)).toBe('EINVAL');
    });

    it('is asked of the physical function too while a virtual one is open', () => {
      const { address } = physical;
      const [, fresh] = [seam.closeAll(), seam.ready(physical)];
      expect(open(`${address} vf_token=${other}`, fresh.group)).toBe('an fd');
      expect(answer(seam.feature(fresh.device, SET | VF_TOKEN, Uint8Array.from(Buffer.from(token.replaceAll('-', ''), 'hex'))))).toBe('0');
      const container = seam.container();
      group = seam.group(virtual);
      seam.setContainer(group, container);
      seam.setIommu(container);
      const open1 = seam.device(group, `${virtual.address} vf_token=${token}`);
      expect(open1).toBeGreaterThanOrEqual(0);
      expect(open(address, fresh.group)).toBe('EACCES');
      expect(open(`${address} vf_token=${other}`, fresh.group)).toBe('EACCES');
      expect(open(`${address} vf_token=${token}`, fresh.group)).toBe('an fd');
      seam.close(open1);
      expect(open(address, fresh.group)).toBe('an fd');
    });

    it('is refused by what is neither', () => {
      const { group: file } = seam.ready(subject.edu);
      expect(open(`${subject.edu.address} vf_token=${token}`, file)).toBe('EINVAL');
    });

    it('is an argument of the typed interface, whose errors say what to do', () => {
      seam.closeAll();
      using physicalContainer = Container.open(subject.kernel);
      const physicalGroup = physicalContainer.openGroup(physical.group);
      physicalContainer.setIommu();
      physicalGroup.openDevice(physical.address).setVfToken(token);
      using container = Container.open(subject.kernel);
      const opened = container.openGroup(virtual.group);
      container.setIommu();
      expect(() => opened.openDevice(virtual.address)).toThrow(/^EACCES.*vfToken/);
      expect(() => opened.openDevice(virtual.address, { vfToken: 'short' })).toThrow('Expected a UUID like');
      expect(opened.openDevice(virtual.address, { vfToken: token }).info.isPci).toBe(true);
    });
  });
}
