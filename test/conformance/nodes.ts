/** The nodes in /dev: whose they are and who opens them; and what sysfs and procfs say that `vfio doctor` believes. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findDevice } from '../../lib/index.js';
import { answer, Seam } from '../support/seam.js';
import { hasNodes, type Subject, type Variant } from '../support/subject.js';

const anyone = 1000;

export function nodes(variant: Variant): void {
  describe('nodes', () => {
    let subject: Subject;
    let seam: Seam;
    let group: string;
    let node: string | undefined;

    beforeEach(() => {
      subject = variant.make();
      seam = new Seam(subject.kernel);
      group = `/dev/vfio/${subject.edu.group}`;
      ({ node } = findDevice(subject.kernel, subject.edu.address));
    });
    afterEach(() => seam.closeAll());

    const text = (path: string): string => {
      const bytes = subject.kernel.files.readFile(path);
      return typeof bytes === 'number' ? answer(bytes) : new TextDecoder().decode(bytes).trim();
    };
    const status = (path: string): unknown => subject.kernel.files.stat(path);
    const open = (path: string, flags = 2): string => {
      const fd = subject.kernel.open(path, flags);
      if (fd >= 0) subject.kernel.close(fd);
      return answer(Math.min(fd, 0));
    };
    const ownNodes = (): string[] => (node === undefined ? [group] : [group, node]);

    it("are root's, with the numbers that sysfs has, and the container is everybody's", () => {
      const of = (mode: number, numbers: string): unknown => ({ kind: 'character-device', mode, user: 0, group: 0, device: text(numbers) });
      expect(status('/dev/vfio/vfio')).toEqual(of(0o666, '/sys/class/misc/vfio/dev'));
      expect(text('/sys/class/misc/vfio/dev')).toBe('10:196');
      expect(status(group)).toEqual(of(0o600, `/sys/class/vfio/${subject.edu.group}/dev`));
      if (!hasNodes(variant)) return;
      expect(status('/dev/iommu')).toEqual(of(0o660, '/sys/class/misc/iommu/dev'));
      const name = node!.split('/').at(-1);
      expect(status(node!)).toEqual(of(0o600, `/sys/bus/pci/devices/${subject.edu.address}/vfio-dev/${name}/dev`));
    });

    it('are EACCES for others, until they are given to them', () => {
      const { kernel } = subject;
      subject.as(anyone, () => {
        expect([open('/dev/vfio/vfio'), ...ownNodes().map((each) => open(each))]).toEqual(['0', ...ownNodes().map(() => 'EACCES')]);
        for (const each of ownNodes()) expect([kernel.files.chmod(each, 0o666), kernel.files.chown(each, anyone, -1)]).toEqual([-1, -1]);
      });
      for (const each of ownNodes()) expect(kernel.files.chown(each, anyone, -1)).toBe(0);
      try {
        subject.as(anyone, () => expect(ownNodes().map((each) => open(each))).toEqual(ownNodes().map(() => '0')));
        subject.as(anyone + 1, () => expect(ownNodes().map((each) => open(each))).toEqual(ownNodes().map(() => 'EACCES')));
      } finally {
        for (const each of ownNodes()) kernel.files.chown(each, 0, -1);
      }
    });

    it('are opened for what their mode lets', () => {
      const { files } = subject.kernel;
      files.chmod(group, 0o604);
      try {
        subject.as(anyone, () => expect([0, 1, 2].map((flags) => open(group, flags))).toEqual(['0', 'EACCES', 'EACCES']));
      } finally {
        files.chmod(group, 0o600);
      }
    });

    it('procfs says who asks, and what for root is granted', () => {
      const effective = (): bigint => BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(text('/proc/self/status'))?.[1]}`);
      const user = (): number => Number(/^Uid:\s+\d+\s+(\d+)/m.exec(text('/proc/self/status'))?.[1]);
      expect([user(), (effective() >> 1n) & 1n]).toEqual([0, 1n]);
      subject.as(anyone, () => expect([user(), (effective() >> 1n) & 1n]).toEqual([anyone, 0n]));
      expect(text('/proc/self/limits')).toMatch(/^Max locked memory +(\d+|unlimited) +(\d+|unlimited) +bytes *$/m);
    });

    it('interrupts that an IOMMU remaps are named so', () => {
      expect(/\bIR-IO-APIC\b/.test(text('/proc/interrupts'))).toBe(true);
    });
  });
}
