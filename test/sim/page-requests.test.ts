/** Accesses of simulated devices with PASIDs, and for pages that are not there yet. */
import { beforeEach, describe, expect, it } from 'vitest';
import { IOMMU_HWPT_ALLOC_PASID, IOMMU_HWPT_FAULT_ID_VALID } from '../../lib/abi/iommufd/hwpt.js';
import { Cdev, type FaultQueue, findDevice, Iommufd, type Ioas, type KernelError } from '../../lib/index.js';
import { Machine, PciFunction, type DmaPort, type MachineOptions } from '../../lib/sim/index.js';
import { NvmeFunction } from '../support/nvme-function.js';
import { PageTableSeam } from '../support/page-table-seam.js';

const page = 4096n;
const token = 'bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3';

class Probe extends PciFunction {
  constructor() {
    super({ vendor: 0x1af4, device: 0x10f0, classCode: 0xff0000, bars: { 0: 4096 } });
  }

  override readBar(): bigint {
    return 0n;
  }

  override writeBar(): void {}

  get port(): DmaPort {
    return this.dma;
  }
}

let machine: Machine;
let probe: Probe;
let iommufd: Iommufd;
let device: Cdev;
let space: Ioas;
let tables: PageTableSeam;

function start(options: MachineOptions = { iommuFeatures: ['pasids'] }): void {
  probe = new Probe();
  machine = new Machine({ ...options, devices: [{ model: probe }] });
  iommufd = Iommufd.open(machine.kernel);
  device = Cdev.open(iommufd, findDevice(machine.kernel, '0000:00:03.0'));
  device.enableBusMaster();
  space = iommufd.createIoas();
  tables = new PageTableSeam(machine.kernel, iommufd.fd);
}
beforeEach(() => start());

/** A page table for PASIDs, and its queue if it has one. */
function table(on: Ioas, queue?: FaultQueue): { fd: number; id: number } {
  const flags = IOMMU_HWPT_ALLOC_PASID | (queue === undefined ? 0 : IOMMU_HWPT_FAULT_ID_VALID);
  const id = Number(tables.alloc({ dev_id: device.id, pt_id: on.id, flags, fault_id: queue?.id ?? 0 }));
  return { fd: iommufd.fd, id };
}

const reads = (iova: bigint, pasid?: number): number | undefined => {
  const byte = new Uint8Array(1);
  return probe.port.read(iova, byte, pasid === undefined ? undefined : { pasid }) ? byte[0] : undefined;
};

describe('an access with a PASID', () => {
  it('goes through the page table that is attached with it, and no other', () => {
    const [first, second] = [space.allocate(4096), iommufd.createIoas()];
    const other = second.allocate(4096);
    first.bytes[0] = 1;
    other.bytes[0] = 2;
    expect(other.iova).toBe(first.iova);
    device.attach(table(space), { pasid: 7 });
    device.attach(table(second), { pasid: 8 });
    expect([reads(first.iova, 7), reads(first.iova, 8), reads(first.iova), reads(first.iova, 9)]).toEqual([1, 2, undefined, undefined]);
    device.attach(table(second), { pasid: 7 });
    device.detach({ pasid: 8 });
    expect([reads(first.iova, 7), reads(first.iova, 8)]).toEqual([2, undefined]);
    expect(machine.faults.map(({ pasid, reason }) => [pasid, reason])).toEqual([
      [undefined, 'not mapped'],
      [9, 'PASID not bound'],
      [8, 'PASID not bound'],
    ]);
  });

  it('goes with those without one, where the device has its own', () => {
    const buffer = space.allocate(4096);
    buffer.bytes[0] = 3;
    device.attach(table(space));
    device.attach(table(space), { pasid: 1 });
    expect([reads(buffer.iova), reads(buffer.iova, 1)]).toEqual([3, 3]);
    device.detach();
    expect([reads(buffer.iova), reads(buffer.iova, 1)]).toEqual([undefined, 3]);
    device.close();
    expect(reads(buffer.iova, 1)).toBe(undefined);
  });

  it('is refused by what is not permitted', () => {
    const buffer = space.allocate(4096, { write: false });
    device.attach(table(space), { pasid: 1 });
    expect(probe.port.write(buffer.iova, new Uint8Array(1), { pasid: 1 })).toBe(false);
    expect(machine.faults).toMatchObject([{ pasid: 1, direction: 'write', reason: 'not writable' }]);
  });

  it('has up to 20 bits', () => {
    const buffer = space.allocate(4096);
    device.attach(table(space), { pasid: 0xf_ffff });
    expect(reads(buffer.iova, 0xf_ffff)).toBe(0);
  });

  it('is bound to nothing on a machine without, though one can be attached', () => {
    start({});
    const buffer = space.allocate(4096);
    device.attach(table(space), { pasid: 1 });
    expect(reads(buffer.iova, 1)).toBe(undefined);
  });
});

describe('a device that misses a page', () => {
  let queue: FaultQueue;
  let moved: boolean[];
  let bytes: Uint8Array;

  beforeEach(() => {
    queue = iommufd.createFaultQueue();
    moved = [];
  });

  /** Reads or writes, waiting for what is not there. */
  const transfer = (direction: 'read' | 'write', iova: bigint, size = 1, pasid?: number): void => {
    bytes = new Uint8Array(size).fill(direction === 'write' ? 0x5a : 0);
    const options = pasid === undefined ? undefined : { pasid };
    probe.port.transferOnDemand(direction, iova, bytes, options, (result) => moved.push(result));
  };

  it('asks for it, and goes on when it is there', () => {
    device.attach(table(space, queue));
    transfer('read', 0x10_0008n);
    expect(moved).toEqual([]);
    const [group] = queue.read();
    expect(group).toMatchObject({ device: device.id, pasid: undefined });
    expect(group?.requests).toMatchObject([{ address: 0x10_0000n, access: { read: true, write: false } }]);
    const buffer = machine.kernel.mmap(-1, 4096, 3, 0x22, 0);
    if (typeof buffer === 'number' || buffer.memory === undefined) throw new Error('no memory');
    new Uint8Array(buffer.memory)[8] = 77;
    space.map({ iova: 0x10_0000n, address: machine.kernel.addressOf(buffer.memory), size: page });
    group?.respond('success');
    expect([moved, bytes[0], machine.faults]).toEqual([[true], 77, []]);
  });

  it('asks again when it still is not, and gives up when there is none', () => {
    device.attach(table(space, queue), { pasid: 5 });
    transfer('write', 0x10_0000n, 1, 5);
    queue.read()[0]?.respond('success');
    const [again] = queue.read();
    expect(again).toMatchObject({ pasid: 5, requests: [{ access: { read: false, write: true } }] });
    again?.respond('invalid');
    expect(moved).toEqual([false]);
    expect(machine.faults).toMatchObject([{ pasid: 5, reason: 'not mapped' }]);
  });

  it('asks for all pages of an access together, without those that are there', () => {
    device.attach(table(space, queue), { pasid: 5 });
    const buffer = space.allocate(4096);
    transfer('read', buffer.iova - page, 4 * 4096, 5);
    const [group, ...others] = queue.read();
    expect(others).toEqual([]);
    expect(group?.requests.map(({ address }) => address - buffer.iova)).toEqual([-page, page, 2n * page]);
    group?.respond('invalid');
    expect(moved).toEqual([false]);
  });

  it('asks for a page that permits too little, too', () => {
    device.attach(table(space, queue));
    const buffer = space.allocate(4096, { write: false });
    transfer('write', buffer.iova);
    expect(queue.read()[0]?.requests).toMatchObject([{ address: buffer.iova, access: { write: true } }]);
  });

  it('a group that has more pages than are read at once is read whole', () => {
    device.attach(table(space, queue));
    transfer('read', 0x10_0000n, 200 * 4096);
    expect(queue.read()[0]?.requests.length).toBe(200);
  });

  it('hears that there is none when it is detached, moved or closed', () => {
    const first = table(space, queue);
    const second = table(space, queue);
    for (const end of [() => device.detach(), () => device.attach(second), () => device.close()]) {
      if (!device.closed) device.attach(first);
      transfer('read', 0x10_0000n);
      expect(moved).toEqual([]);
      end();
      expect(moved.splice(0)).toEqual([false]);
      expect(queue.read()).toEqual([]);
    }
  });

  it('asks nobody where no queue is, or where it has lost its page table', () => {
    device.attach(table(space));
    transfer('read', 0x10_0000n);
    transfer('read', 0x10_0000n, 1, 6);
    device.detach();
    transfer('read', 0x10_0000n);
    expect([moved, queue.read()]).toEqual([[false, false, false], []]);
  });

  it('waits for 512 groups at most', () => {
    device.attach(table(space, queue));
    for (let index = 0; index < 513; index += 1) transfer('read', 0x10_0000n);
    expect(moved).toEqual([false]);
    const groups = queue.read();
    expect(new Set(groups.map(({ index }) => index)).size).toBe(512);
    groups[3]?.respond('invalid');
    transfer('read', 0x10_0000n);
    expect(queue.read().map(({ index }) => index)).toEqual([3]);
  });

  it('has no page table with a queue where its IOMMU cannot ask', () => {
    start({});
    const other = iommufd.createFaultQueue();
    expect(() => device.attach(table(space, other))).toThrow(/^ENODEV: .*makes none/);
  });

  it('asks for nothing where its IOMMU cannot, whatever the queue', () => {
    start({ iommu: 'amd' });
    queue = iommufd.createFaultQueue();
    const id = Number(tables.alloc({ dev_id: device.id, pt_id: space.id, flags: IOMMU_HWPT_FAULT_ID_VALID, fault_id: queue.id }));
    device.attach({ fd: iommufd.fd, id });
    transfer('read', 0x10_0000n);
    expect([moved, queue.read()]).toEqual([[false], []]);
  });

  it('that is a virtual function has no page table with a queue: its page requests are another\u2019s', () => {
    const refused = (options: MachineOptions): string => {
      const physical = '0000:00:05.0';
      const devices = [{ model: new NvmeFunction({ virtualFunctions: 1 }), address: physical }];
      const virtual = { model: new NvmeFunction(), address: '0000:00:05.1', physicalFunction: physical };
      machine = new Machine({ ...options, devices: [...devices, virtual] });
      iommufd = Iommufd.open(machine.kernel);
      using owner = Cdev.open(iommufd, findDevice(machine.kernel, physical));
      owner.setVfToken(token);
      // Older kernels ask for none.
      using held = Cdev.open(iommufd, findDevice(machine.kernel, virtual.address), options.kernel === '6.12' ? {} : { vfToken: token });
      space = iommufd.createIoas();
      const parent = space.createPageTable(held, { nestParent: true });
      const seam = new PageTableSeam(machine.kernel, iommufd.fd);
      const fields = { dev_id: held.id, pt_id: parent.id, data_type: 1, fault_id: iommufd.createFaultQueue().id };
      const data = new Uint8Array(24);
      data[16] = 48;
      const id = Number(seam.alloc({ ...fields, flags: IOMMU_HWPT_FAULT_ID_VALID }, data));
      seam.close();
      try {
        held.attach({ fd: iommufd.fd, id });
        return 'attached';
      } catch (error) {
        return (error as KernelError).code;
      }
    };
    const iommuFeatures = ['nesting'] as const;
    expect(refused({ iommuFeatures: ['nesting', 'pasids'] })).toBe('EINVAL');
    expect(refused({ iommuFeatures })).toBe('ENODEV');
    // Older kernels do not ask what its IOMMU can do.
    expect(refused({ kernel: '6.12', iommuFeatures })).toBe('EINVAL');
  });

  it('waits on, whatever becomes of another page table with the same queue', () => {
    const [first, second] = [table(space, queue), table(space, queue)];
    device.attach(first, { pasid: 5 });
    device.attach(second, { pasid: 6 });
    for (const pasid of [5, 6]) transfer('read', 0x10_0000n, 1, pasid);
    device.detach({ pasid: 5 });
    expect(moved).toEqual([false]);
    device.attach(first, { pasid: 5 });
    transfer('read', 0x10_0000n, 1, 5);
    expect(queue.read().map(({ pasid }) => pasid)).toEqual([6, 5]);
    device.detach({ pasid: 5 });
    expect(moved).toEqual([false, false]);
    device.detach({ pasid: 6 });
    expect(moved).toEqual([false, false, false]);
  });

  it('moves nothing once it may not be master', () => {
    device.attach(table(space, queue));
    transfer('read', page);
    device.disableBusMaster();
    expect(space.allocate(4096).iova).toBe(page);
    queue.read()[0]?.respond('success');
    expect(moved).toEqual([false]);
    expect(machine.faults).toMatchObject([{ reason: 'bus mastering is off' }]);
  });
});
