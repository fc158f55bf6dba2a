/** Page requests of mock devices: read from a queue, and answered. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { IOMMU_FAULT_QUEUE_ALLOC, iommu_fault_alloc } from '../../lib/abi/iommufd/fault.js';
import { IOMMU_HWPT_ALLOC_NEST_PARENT, IOMMU_HWPT_ALLOC_PASID, IOMMU_HWPT_FAULT_ID_VALID } from '../../lib/abi/iommufd/hwpt.js';
import { type FaultQueue, Iommufd, type PageRequestGroup } from '../../lib/index.js';
import { FaultSeam } from '../support/fault-seam.js';
import { IoasSeam } from '../support/ioas-seam.js';
import * as mock from '../support/mock/abi.js';
import { MockSeam, type MockDevice } from '../support/mock/seam.js';
import { PageTableSeam } from '../support/page-table-seam.js';
import { answer } from '../support/seam.js';
import type { Subject, Variant } from '../support/subject.js';

export function faults(variant: Variant): void {
  let subject: Subject;
  let iommufd: Iommufd;
  let spaces: IoasSeam;
  let tables: PageTableSeam;
  let mocks: MockSeam;
  let space: number;
  let device: MockDevice;
  let parent: number;

  beforeEach(() => {
    subject = variant.make();
    iommufd = Iommufd.open(subject.kernel);
    spaces = new IoasSeam(subject.kernel, iommufd.fd);
    tables = new PageTableSeam(subject.kernel, iommufd.fd);
    mocks = new MockSeam(subject.kernel, iommufd.fd);
    space = spaces.alloc();
    device = mocks.device(space);
    parent = Number(tables.alloc({ dev_id: device.device, pt_id: space, flags: IOMMU_HWPT_ALLOC_NEST_PARENT }));
  });
  afterEach(() => {
    tables.close();
    spaces.close();
    iommufd.close();
  });

  const newer = (): boolean => subject.version === '7.3';
  /** A nested page table with a queue, which every kernel with queues can make. The id, or the errno's name. */
  const nested = (fault_id: number, flags = IOMMU_HWPT_FAULT_ID_VALID): string => {
    const data = new Uint8Array(Uint32Array.of(mock.IOMMU_TEST_IOTLB_DEFAULT).buffer);
    return tables.alloc({ dev_id: device.device, pt_id: parent, flags, data_type: mock.IOMMU_HWPT_DATA_SELFTEST, fault_id }, data);
  };
  const attach = (table: number | string): string => mocks.replace(device.selftest, Number(table));
  /** The device asks for a page. */
  const ask = ({ pasid = 0, grpid = 1, perm = 1, addr = 0x1000n, dev_id = device.device } = {}): string =>
    mocks.run(mock.IOMMU_TEST_OP_TRIGGER_IOPF, 0, 'trigger_iopf', { dev_id, pasid, grpid, perm, addr });

  describe('at the seam', () => {
    let queue: FaultSeam;

    beforeEach(() => {
      queue = new FaultSeam(subject.kernel, iommufd.fd);
    });
    afterEach(() => queue.close());

    /** A page table with the queue, attached. */
    const listening = (): number => {
      const table = nested(queue.id);
      expect(attach(table)).toBe(table);
      return Number(table);
    };

    it('FAULT_QUEUE_ALLOC makes an object and a fd', () => {
      expect(queue.id).toBe(6);
      const alloc = iommu_fault_alloc.create();
      Object.assign(alloc, { size: iommu_fault_alloc.size, flags: 1 });
      expect(answer(subject.kernel.ioctl(iommufd.fd, IOMMU_FAULT_QUEUE_ALLOC.number, alloc.bytes))).toBe('EOPNOTSUPP');
      const { kernel } = subject;
      expect({
        ioctl: answer(kernel.ioctl(queue.fd, 0x3b80, new Uint8Array(8))),
        mmap: answer(kernel.mmap(queue.fd, 4096, 3, 1, 0) as number),
        pread: answer(kernel.pread(queue.fd, new Uint8Array(40), 0)),
        pwrite: answer(kernel.pwrite(queue.fd, new Uint8Array(8), 0)),
      }).toEqual({ ioctl: 'ENOTTY', mmap: 'ENODEV', pread: 'ESPIPE', pwrite: 'ESPIPE' });
    });

    it('the object stays while its fd is open, or a page table has it', () => {
      expect(spaces.destroy(queue.id)).toBe('EBUSY');
      const table = Number(nested(queue.id));
      queue.close();
      expect([spaces.destroy(queue.id), spaces.destroy(table), spaces.destroy(queue.id)]).toEqual(['EBUSY', '0', '0']);
      expect(spaces.destroy(queue.id)).toBe('ENOENT');
    });

    it('the fd keeps the file of /dev/iommu', () => {
      listening();
      ask();
      iommufd.close();
      expect(queue.read()).toBe(`${device.device} none:1:1@1000 #1.`);
      expect(queue.respond([1, 0])).toBe('8');
    });

    it('a page table takes no other object for a queue', () => {
      expect([nested(99), nested(space), nested(parent), nested(0)]).toEqual(Array<string>(4).fill('ENOENT'));
      expect(nested(99, 0)).toBe('7');
    });

    it('reads whole records only, and none where there are none', () => {
      listening();
      expect([0, 1, 39, 40, 41, 80].map((bytes) => queue.read(bytes))).toEqual(['', 'ESPIPE', 'ESPIPE', '', 'ESPIPE', '']);
    });

    it('a record says who asks for what', () => {
      listening();
      expect(ask({ grpid: 7, perm: 3, addr: 0x1234_5678_9abc_d123n })).toBe('0');
      expect(ask({ grpid: 7, perm: 15, addr: 0xffff_ffff_ffff_ffffn })).toBe('0');
      expect(queue.read()).toBe(`${device.device} none:7:3@123456789abcd123 #1. ${device.device} none:7:15@ffffffffffffffff #2.`);
      expect(queue.read()).toBe('');
    });

    it('what does not fit is read next time, and at least one must fit', () => {
      listening();
      for (const grpid of [1, 2, 3]) ask({ grpid });
      expect(queue.read(0)).toBe('EINVAL');
      expect(queue.read(80)).toBe(`${device.device} none:1:1@1000 #1. ${device.device} none:2:1@1000 #2.`);
      expect(queue.read(80)).toBe(`${device.device} none:3:1@1000 #3.`);
    });

    it('answers name a request that was read, once', () => {
      listening();
      ask();
      expect(queue.respond([1, 0])).toBe('EINVAL');
      queue.read();
      expect([queue.respond([0, 0]), queue.respond([2, 0]), queue.respond([1, 2]), queue.respond([1, 0xffff_ffff])]).toEqual(
        Array<string>(4).fill('EINVAL'),
      );
      expect([queue.respond([1, 1]), queue.respond([1, 1])]).toEqual(['8', 'EINVAL']);
      expect([queue.respond(), answer(subject.kernel.write(queue.fd, new Uint8Array(4)))]).toEqual(['0', 'ESPIPE']);
    });

    it('several answers are taken until one is wrong', () => {
      listening();
      for (const grpid of [1, 2, 3]) ask({ grpid });
      queue.read();
      expect(queue.respond([2, 0], [1, 1])).toBe('16');
      expect(queue.respond([3, 0], [2, 0], [1, 0])).toBe('8');
      expect(queue.respond([3, 0])).toBe('EINVAL');
    });

    it('a cookie is the lowest that no request waits with', () => {
      listening();
      for (const grpid of [1, 2, 3]) ask({ grpid });
      queue.read();
      queue.respond([2, 0]);
      for (const grpid of [4, 5]) ask({ grpid });
      expect(queue.read()).toBe(`${device.device} none:4:1@1000 #2. ${device.device} none:5:1@1000 #4.`);
    });

    it('without a queue there is nobody to ask, and nothing comes of it', () => {
      expect(ask()).toBe('0');
      expect(attach(nested(99, 0))).toBe('7');
      expect(ask()).toBe('0');
      expect(ask({ dev_id: 99 })).toBe('ENOENT');
      expect(ask({ dev_id: space })).toBe('ENOENT');
      expect(ask({ dev_id: device.selftest })).toBe('ENOENT');
      listening();
      expect(queue.read()).toBe('');
    });

    it('what was asked ends with the page table it was asked of, read or not', () => {
      const table = listening();
      for (const grpid of [1, 2]) ask({ grpid });
      expect(queue.read(40)).toBe(`${device.device} none:1:1@1000 #1.`);
      // To another with the same queue.
      const next = nested(queue.id);
      expect(attach(next)).toBe(next);
      expect([queue.read(), queue.respond([1, 0])]).toEqual(['', 'EINVAL']);
      ask({ grpid: 3 });
      // To itself: nothing changes.
      expect(attach(next)).toBe(next);
      expect(queue.read()).toBe(`${device.device} none:3:1@1000 #1.`);
      expect(attach(space)).not.toBe(next);
      expect(queue.respond([1, 0])).toBe('EINVAL');
      expect([spaces.destroy(table), spaces.destroy(Number(next))]).toEqual(['0', '0']);
    });

    it('what a device asked ends with the device', () => {
      listening();
      for (const grpid of [1, 2]) ask({ grpid });
      queue.read(40);
      expect(spaces.destroy(device.selftest)).toBe('0');
      expect([queue.read(), queue.respond([1, 0])]).toEqual(['', 'EINVAL']);
    });

    it('devices that share a page table share its queue, and each is asked for itself', () => {
      const table = listening();
      const other = mocks.device(table);
      expect(ask({ dev_id: other.device })).toBe('0');
      ask();
      expect(queue.read()).toBe(`${other.device} none:1:1@1000 #1. ${device.device} none:1:1@1000 #2.`);
      spaces.destroy(other.selftest);
      expect([queue.respond([1, 0]), queue.respond([2, 0])]).toEqual(['EINVAL', '8']);
    });

    it('a page table that is not nested can have one too, of newer kernels', () => {
      const made = tables.alloc({ dev_id: device.device, pt_id: space, flags: IOMMU_HWPT_FAULT_ID_VALID, fault_id: queue.id });
      if (!newer()) return expect(made).toBe('EOPNOTSUPP');
      expect(attach(made)).toBe(made);
      ask();
      // It translates no PASIDs.
      ask({ pasid: 5, grpid: 2 });
      expect(queue.read()).toBe(`${device.device} none:1:1@1000 #1.`);
    });

    it('a nested page table is asked for the PASIDs that nothing is attached with', () => {
      listening();
      ask({ pasid: 5 });
      expect(queue.read()).toBe(`${device.device} 5:1:1@1000 #1.`);
    });

    it('the page table of a PASID is asked for what is its own', () => {
      if (!newer()) return expect(nested(queue.id, IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_PASID)).toBe('EOPNOTSUPP');
      spaces.destroy(device.selftest);
      device = mocks.device(space, mock.MOCK_FLAGS_DEVICE_PASID);
      using own = { queue: new FaultSeam(subject.kernel, iommufd.fd), [Symbol.dispose]: () => own.queue.close() };
      const both = IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_PASID;
      const [rid, pasid, silent] = [nested(queue.id, both), nested(own.queue.id, both), nested(0, IOMMU_HWPT_ALLOC_PASID)];
      const change = (op: number, table: string): string =>
        mocks.run(op, device.selftest, 'pasid_attach', { pasid: 5, pt_id: Number(table) });
      attach(rid);
      expect(change(mock.IOMMU_TEST_OP_PASID_ATTACH, pasid)).toBe('0');
      ask({ pasid: 5, grpid: 1 });
      ask({ pasid: 6, grpid: 2 });
      ask({ grpid: 3 });
      expect(own.queue.read()).toBe(`${device.device} 5:1:1@1000 #1.`);
      expect(queue.read()).toBe(`${device.device} 6:2:1@1000 #1. ${device.device} none:3:1@1000 #2.`);
      // One without a queue takes it away, and passes nothing on.
      expect(change(mock.IOMMU_TEST_OP_PASID_REPLACE, silent)).toBe('0');
      ask({ pasid: 5, grpid: 4 });
      expect([own.queue.respond([1, 0]), own.queue.read(), queue.read()]).toEqual(['EINVAL', '', '']);
      expect(change(mock.IOMMU_TEST_OP_PASID_REPLACE, pasid)).toBe('0');
      ask({ pasid: 5, grpid: 5 });
      expect(mocks.run(mock.IOMMU_TEST_OP_PASID_DETACH, device.selftest, 'pasid_detach', { pasid: 5 })).toBe('0');
      expect(own.queue.read()).toBe('');
      expect(queue.respond([1, 0], [2, 0])).toBe('16');
    });

    it('the fd can be waited for', async () => {
      listening();
      let calls = 0;
      const watch = subject.kernel.watch(queue.fd, () => (calls += 1));
      if (typeof watch === 'number') throw new Error(answer(watch));
      await delay(20);
      expect(calls).toBe(0);
      ask();
      while (calls === 0) await delay(1);
      queue.read();
      await delay(5);
      const before = calls;
      await delay(20);
      expect(calls).toBe(before);
      watch.stop();
    });
  });

  describe('with the API', () => {
    let queue: FaultQueue;
    let table: string;

    beforeEach(() => {
      queue = iommufd.createFaultQueue();
      table = nested(queue.id);
      attach(table);
    });
    afterEach(() => {
      spaces.destroy(device.selftest);
      spaces.destroy(Number(table));
    });

    const only = (groups: readonly PageRequestGroup[]): PageRequestGroup => {
      const [group] = groups;
      if (group === undefined || groups.length > 1) throw new Error(`${groups.length} groups`);
      return group;
    };

    it('what there is, is read without waiting', () => {
      expect(queue.read()).toEqual([]);
      ask({ perm: 6, addr: 0x5000n, grpid: 9 });
      ask({ pasid: 3, perm: 9 });
      const [first, second] = queue.read();
      const access = { read: false, write: false, execute: false, privileged: false };
      expect(first).toMatchObject({ device: device.device, pasid: undefined, index: 9 });
      expect(first?.requests).toEqual([{ address: 0x5000n, access: { ...access, write: true, execute: true } }]);
      expect(second).toMatchObject({ pasid: 3, index: 1 });
      expect(second?.requests).toEqual([{ address: 0x1000n, access: { ...access, read: true, privileged: true } }]);
      expect(queue.read()).toEqual([]);
    });

    it('more than one read holds is read at once', () => {
      for (let grpid = 0; grpid < 150; grpid += 1) ask({ grpid });
      expect(queue.read().map(({ index }) => index)).toEqual(Array.from({ length: 150 }, (_, index) => index));
    });

    it('is answered once', () => {
      ask();
      const group = only(queue.read());
      expect(() => group.respond('failure' as 'invalid')).toThrow("Expected one of success, invalid for response but received 'failure'");
      group.respond('success');
      expect(() => group.respond('success')).toThrow(expect.objectContaining({ code: 'ERR_VFIO_ANSWERED' }));
    });

    it('the kernel answers what is left when the device goes elsewhere', () => {
      ask();
      const [early] = queue.read();
      attach(space);
      expect(() => early?.respond('success')).toThrow(/^EINVAL: .*write 'fault queue/);
      attach(table);
      ask({ grpid: 2 });
      const later = only(queue.read());
      // It has the cookie of the first, which must not answer for it.
      expect(() => early?.respond('success')).toThrow(expect.objectContaining({ code: 'ERR_VFIO_ANSWERED' }));
      later.respond('invalid');
    });

    it('is waited for, and comes to whoever waits longest', async () => {
      const waits = [queue.wait(), queue.wait()];
      ask({ grpid: 1 });
      ask({ grpid: 2 });
      expect((await Promise.all(waits)).map(({ index }) => index)).toEqual([1, 2]);
      await expect(queue.wait({ timeoutMilliseconds: 5 })).rejects.toMatchObject({ code: 'ERR_VFIO_TIMEOUT' });
      ask({ grpid: 3 });
      ask({ grpid: 4 });
      expect((await queue.wait()).index).toBe(3);
      expect(only(queue.read()).index).toBe(4);
    });

    it('comes one after the other, until the queue is closed', async () => {
      const seen: number[] = [];
      const all = (async () => {
        for await (const group of queue) {
          seen.push(group.index);
          group.respond('success');
        }
      })();
      ask({ grpid: 1 });
      ask({ grpid: 2 });
      while (seen.length < 2) await delay(1);
      ask({ grpid: 3 });
      while (seen.length < 3) await delay(1);
      attach(space);
      spaces.destroy(Number(table));
      queue.close();
      await all;
      expect(seen).toEqual([1, 2, 3]);
      await expect(queue.wait()).rejects.toMatchObject({ code: 'ERR_VFIO_CLOSED' });
      expect(() => queue.read()).toThrow('is closed');
      expect(spaces.destroy(queue.id)).toBe('ENOENT');
    });

    it('is closed after the page tables that have it', () => {
      expect(() => queue.close()).toThrow(/^EBUSY: .*IOMMU_DESTROY.*Another object needs it/);
      expect(spaces.destroy(device.selftest)).toBe('0');
      expect([spaces.destroy(Number(table)), spaces.destroy(queue.id)]).toEqual(['0', '0']);
    });
  });
}
