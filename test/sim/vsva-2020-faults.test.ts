/** Faults of accesses with a PASID come out as bytes, and responses go in. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { errno } from '../../lib/abi/errno.js';
import { VFIO_TYPE1_NESTING_IOMMU } from '../../lib/abi/vfio/container.js';
import { Container } from '../../lib/index.js';
import * as vsva from '../../lib/vfio/vsva-2020.js';
import { accessed, address, all, data, dirty, Guest, guestSize, guestStart, large, other, present, root, user } from '../support/guest.js';

let guest: Guest;
beforeEach(() => (guest = new Guest()));
afterEach(() => guest.close());

const [EINVAL, ENOENT, EAGAIN] = [-errno.EINVAL, -errno.ENOENT, -errno.EAGAIN];

describe('faults', () => {
  const next = (): vsva.GuestFault => {
    const record = guest.fault();
    if (typeof record === 'number') throw new Error(`no fault: ${record}`);
    return vsva.decodeFault(record);
  };

  it('come out as records, oldest first, and then no more', () => {
    const pasid = guest.bound();
    guest.read(pasid, address + 0x123n);
    guest.write(pasid, address + 0x2000n, 1n);
    const channel = guest.machine.faultChannel(guest.address);
    expect(channel.read(new Uint8Array(63))).toBe(EINVAL);
    const bytes = new Uint8Array(150);
    expect(channel.read(bytes)).toBe(128);
    const [first, second] = [0, 64].map((at) => vsva.decodeFault(bytes.subarray(at, at + 64)));
    const access = { read: true, write: false, execute: false, privileged: false };
    const expected = { type: 'unrecoverable', reason: 'not-mapped', pasid, access, address, fetchAddress: undefined };
    expect(first).toEqual(expected);
    expect(second).toEqual({ ...expected, access: { ...access, read: false, write: true }, address: address + 0x2000n });
    expect(channel.read(bytes)).toBe(EAGAIN);
    expect(guest.machine.faultChannel('0000:00:04.0').read(bytes)).toBe(EAGAIN);
  });

  it('say why', () => {
    const pasid = guest.bound();
    guest.read(77, address);
    expect(next()).toMatchObject({ reason: 'bad-pasid-entry', pasid: 77 });
    guest.read(1 << 20, address);
    expect(next()).toMatchObject({ reason: 'pasid-invalid', pasid: 1 << 20 });
    guest.mapPage(address, data, present | user);
    guest.write(pasid, address, 1n);
    expect(next()).toMatchObject({ reason: 'permission' });
    guest.read(pasid, address, { privileged: true });
    expect(next()).toMatchObject({ reason: 'permission', access: { privileged: true } });
    guest.mapPage(address + 0x1000n, 0x9000_0000n);
    guest.read(pasid, address + 0x1000n);
    expect(next()).toMatchObject({ reason: 'output-out-of-range', address: address + 0x1000n, fetchAddress: undefined });
    guest.setWord(guest.entry(0n, 3), 0x9000_0000n | all);
    guest.read(pasid, 0x1000n);
    expect(next()).toMatchObject({ reason: 'page-table-unreachable', fetchAddress: 0x9000_0000n });
    guest.setWord(guest.entry(1n << 39n, 4), guestStart | all | large);
    guest.read(pasid, 1n << 39n);
    expect(next()).toMatchObject({ reason: 'not-mapped' });
    guest.setWord(guest.entry(1n << 40n, 2), (guestStart + 0x4000n) | all | large);
    guest.read(pasid, 1n << 40n);
    expect(next()).toMatchObject({ reason: 'not-mapped' });
  });

  it('a table that cannot be written cannot be marked, and memory that cannot be, not written', () => {
    const kernel = guest.machine.kernel;
    const table = guest.mapPage(address, data);
    guest.container.unmap({ iova: guestStart, size: BigInt(guestSize) });
    const copy = kernel.mmap(-1, guestSize, 3, 0x22, 0);
    if (typeof copy === 'number') throw new Error('no memory');
    // The guest's memory again, but the first MiB, with the tables, is read-only for devices.
    guest.container.map({ iova: guestStart, address: kernel.addressOf(copy.memory!), size: 0x10_0000n, write: false });
    guest.container.map({ iova: data, address: kernel.addressOf(copy.memory!) + 0x10_0000n, size: 0x10_0000n, write: false });
    const words = new DataView(copy.memory!);
    for (let at = 0n; at < 0x10_0000n; at += 8n) words.setBigUint64(Number(at), guest.word(guestStart + at), true);
    const pasid = guest.bound();
    expect(guest.read(pasid, address)).toBe(undefined);
    expect(next()).toMatchObject({ reason: 'page-table-unreachable', fetchAddress: root + ((address >> 39n) & 0x1ffn) * 8n });
    // Marked already, it need not be: reading works, and writing fails in the second stage.
    for (const at of [4, 3, 2, 1].map((level) => (level === 1 ? table : guest.entry(address, level))))
      words.setBigUint64(Number(at - guestStart), guest.word(at) | accessed | dirty, true);
    expect([guest.read(pasid, address), guest.write(pasid, address, 1n)]).toEqual([0n, false]);
    expect(next()).toMatchObject({ reason: 'permission' });
    guest.container.unmap({ iova: guestStart, size: 0x20_0000n });
    copy.unmap();
  });
});

describe('page requests', () => {
  const bytes = new Uint8Array(8);
  let moved: boolean[];
  beforeEach(() => (moved = []));
  const transfer = (pasid: number, at: bigint, direction: 'read' | 'write' = 'read'): void =>
    guest.probe.port.transferOnDemand(direction, at, bytes, { pasid }, (result) => moved.push(result));
  const request = (): Extract<vsva.GuestFault, { type: 'page-request' }> => {
    const record = guest.fault();
    const fault = typeof record === 'number' ? undefined : vsva.decodeFault(record);
    if (fault?.type !== 'page-request') throw new Error(`no page request: ${String(record)}`);
    return fault;
  };
  const respond = (response: vsva.PageResponse): number =>
    guest.machine.faultChannel(guest.address).write(vsva.encodePageResponse(response));

  it('ask for the page, wait for the response, and try again', () => {
    const pasid = guest.bound();
    guest.setWord(data, 0x77n);
    transfer(pasid, address);
    const { group, ...fault } = request();
    const access = { read: true, write: false, execute: false, privileged: false };
    expect(fault).toEqual({ type: 'page-request', pasid, lastPage: true, access, address, privateData: undefined });
    expect(moved).toEqual([]);
    guest.mapPage(address, data);
    expect(respond({ pasid, group, code: 'success' })).toBe(20);
    expect([moved, bytes[0]]).toEqual([[true], 0x77]);
    expect(respond({ pasid, group, code: 'success' })).toBe(ENOENT);
  });

  it('a response has no flag but one', () => {
    const pasid = guest.bound();
    transfer(pasid, address);
    const bytes = vsva.encodePageResponse({ pasid, group: request().group, code: 'success' });
    vsva.iommu_page_response.view(bytes.buffer as ArrayBuffer, bytes.byteOffset).flags = 3;
    expect(guest.machine.faultChannel(guest.address).write(bytes)).toBe(EINVAL);
    expect(moved).toEqual([]);
  });

  it('the machine records what became of them in words of its own', () => {
    const pasid = guest.bound();
    expect(guest.read(99, address)).toBeUndefined();
    guest.setWord(root + ((address >> 39n) & 0x1ffn) * 8n, 0x1_0000_0000n | all);
    expect(guest.read(pasid, address)).toBeUndefined();
    expect(guest.machine.faults.map(({ reason }) => reason)).toEqual(['PASID not bound', 'page table not reachable']);
  });

  it('a page that is there asks for nothing', () => {
    const pasid = guest.bound();
    guest.mapPage(address, data);
    transfer(pasid, address);
    expect([moved, guest.fault()]).toEqual([[true], EAGAIN]);
  });

  it('success without the page asks again; each page of an access is asked for', () => {
    const pasid = guest.bound();
    transfer(pasid, address + 0xffcn, 'write');
    const first = request();
    respond({ pasid, group: first.group, code: 'success' });
    const second = request();
    expect([first.address, second.address]).toEqual([address, address]);
    guest.mapPage(address, data);
    respond({ pasid, group: second.group, code: 'success' });
    const third = request();
    expect([third.address, third.access.write, third.group]).toEqual([address + 0x1000n, true, 2]);
    guest.mapPage(address + 0x1000n, other);
    respond({ pasid, group: third.group, code: 'success' });
    expect(moved).toEqual([true]);
  });

  it('too little permission is asked for too', () => {
    const pasid = guest.bound();
    const slot = guest.mapPage(address, data, present | user);
    transfer(pasid, address, 'write');
    const { group } = request();
    guest.setWord(slot, data | all);
    respond({ pasid, group, code: 'success' });
    expect(moved).toEqual([true]);
  });

  it('an INVALID response ends the access, a FAILURE all that follow', () => {
    const pasid = guest.bound();
    transfer(pasid, address);
    respond({ pasid, group: request().group, code: 'invalid' });
    transfer(pasid, address);
    respond({ pasid, group: request().group, code: 'failure' });
    expect(moved).toEqual([false, false]);
    transfer(pasid, address);
    expect([moved, guest.fault()]).toEqual([[false, false, false], EAGAIN]);
    expect(guest.machine.faults.map(({ reason }) => reason)).toEqual(['not mapped', 'not mapped', 'not mapped']);
  });

  it('after a FAILURE, the device may ask again in another container', () => {
    const pasid = guest.bound();
    transfer(pasid, address);
    respond({ pasid, group: request().group, code: 'failure' });
    guest.container.close();
    const { kernel } = guest.machine;
    using container = Container.open(kernel);
    const group = container.openGroup(0);
    container.setIommu(VFIO_TYPE1_NESTING_IOMMU);
    group.openDevice(guest.address).enableBusMaster();
    const spaces = new vsva.GuestAddressSpaces(container);
    const next = spaces.allocatePasid();
    spaces.bindGuestPageTable({ pasid: next, pageTable: container.allocate(4096).iova });
    transfer(next, address);
    expect(request().pasid).toBe(next);
  });

  it('what no response could mend is lost at once', () => {
    transfer(77, address);
    const record = guest.fault();
    expect(vsva.decodeFault(record as Uint8Array)).toMatchObject({ type: 'unrecoverable', reason: 'bad-pasid-entry' });
    expect(moved).toEqual([false]);
  });

  it('a response is checked before it is taken', () => {
    const pasid = guest.bound();
    transfer(pasid, address);
    const { group } = request();
    const channel = guest.machine.faultChannel(guest.address);
    const good = vsva.encodePageResponse({ pasid, group, code: 'success' });
    const altered = (word: number, value: number): Uint8Array => {
      const words = new Uint32Array(good.slice().buffer);
      words[word] = value;
      return new Uint8Array(words.buffer);
    };
    expect(channel.write(good.subarray(0, 19))).toBe(EINVAL);
    expect(
      [altered(0, 2), altered(1, 2), altered(1, 0), altered(2, pasid + 1), altered(4, 3)].map((bytes) => channel.write(bytes)),
    ).toEqual(Array(5).fill(EINVAL));
    expect(channel.write(altered(3, group + 1))).toBe(ENOENT);
    expect(moved).toEqual([]);
    expect(guest.machine.faultChannel('0000:00:04.0').write(good)).toBe(ENOENT);
  });

  it('a group has 9 bits: one more waiting request fails', () => {
    const pasid = guest.bound();
    for (let count = 0; count < 512; count += 1) transfer(pasid, address);
    expect(moved).toEqual([]);
    transfer(pasid, address);
    expect(moved).toEqual([false]);
    for (let count = 0; count < 512; count += 1) expect(request().group).toBe(count);
    respond({ pasid, group: 300, code: 'invalid' });
    transfer(pasid, address);
    expect(request().group).toBe(300);
  });

  it('unbinding, and closing the container, answer what waits', () => {
    const [one, two] = [guest.bound(), guest.bound()];
    transfer(one, address);
    transfer(two, address);
    guest.bind(one, undefined, { flags: 2 });
    expect(moved).toEqual([false]);
    guest.container.close();
    expect(moved).toEqual([false, false]);
    expect(respond({ pasid: two, group: 1, code: 'success' })).toBe(ENOENT);
  });
});
