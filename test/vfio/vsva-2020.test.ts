/** The typed interface of the proposal of 2020. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VFIO_TYPE1_NESTING_IOMMU } from '../../lib/abi/vfio/container.js';
import { Container, type Capability } from '../../lib/index.js';
import { Machine } from '../../lib/sim/index.js';
import * as vsva from '../../lib/vfio/vsva-2020.js';
import { address, data, Guest, Probe, root } from '../support/guest.js';

let guest: Guest;
beforeEach(() => (guest = new Guest()));
afterEach(() => guest.close());

describe('nestingCapability()', () => {
  const mainline = (kernel: '6.12' | '7.3'): Container => {
    const container = Container.open(new Machine({ kernel, devices: [{ model: new Probe() }] }).kernel);
    container.openGroup(0);
    container.setIommu();
    return container;
  };

  it('finds the proposal’s, which is not taken for migration', () => {
    const info = guest.container.info();
    expect(vsva.nestingCapability(info.capabilities)).toEqual({ capabilities: 1, stage1Format: 1 });
    expect(info.dirtyTracking).toBe(undefined);
    expect(guest.spaces.supported).toBe(true);
  });

  it.each(['6.12', '7.3'] as const)('does not take the migration capability of %s for it', (kernel) => {
    using container = mainline(kernel);
    const info = container.info();
    expect(info.capabilities.map(({ id, version, bytes }) => [id, version, bytes.byteLength])).toContainEqual([2, 1, 32]);
    expect(vsva.nestingCapability(info.capabilities)).toBe(undefined);
    expect(info.dirtyTracking).toEqual({ pageSizes: 4096n, largestBitmap: 1n << 28n });
    expect(new vsva.GuestAddressSpaces(container).supported).toBe(false);
    // The number alone would not have told: both answer 1.
    expect(container.checkExtension(vsva.VFIO_NESTING_IOMMU_UAPI)).toBe(guest.container.checkExtension(vsva.VFIO_NESTING_IOMMU_UAPI));
  });

  it('leaves alone what is neither, and reports what is cut off', () => {
    const capability = (id: number, version: number, size: number): Capability => ({ id, version, bytes: new Uint8Array(size) });
    expect(vsva.nestingCapability([])).toBe(undefined);
    expect(vsva.nestingCapability([capability(2, 2, 16), capability(1, 1, 16), capability(2, 1, 40)])).toBe(undefined);
    expect(() => vsva.nestingCapability([capability(2, 1, 12)])).toThrow('vfio_iommu_type1_info_cap_nesting in 12 bytes');
  });
});

describe('GuestAddressSpaces', () => {
  it('allocates, binds, translates, unbinds and frees', () => {
    const pasid = guest.spaces.allocatePasid({ min: 10, max: 20 });
    expect(pasid).toBe(10);
    const slot = guest.mapPage(address, data);
    guest.setWord(data, 5n);
    {
      using table = guest.spaces.bindGuestPageTable({ pasid, pageTable: root, guestPasid: 3 });
      expect([table.pasid, guest.read(pasid, address)]).toEqual([10, 5n]);
      expect(() => guest.spaces.bindGuestPageTable({ pasid, pageTable: root })).toThrow(expect.objectContaining({ code: 'EBUSY' }));
      expect(() => guest.spaces.freePasid(pasid)).toThrow(expect.objectContaining({ code: 'EBUSY', request: 'VFIO_IOMMU_PASID_REQUEST' }));
      guest.setWord(slot, 0n);
      expect(guest.read(pasid, address)).toBe(5n);
      guest.spaces.invalidate({ caches: ['iotlb'], granularity: 'address', pasid, address, leafOnly: true });
      expect(guest.read(pasid, address)).toBe(undefined);
      guest.spaces.invalidate({ caches: ['iotlb', 'device-iotlb', 'pasid'], granularity: 'pasid', pasid });
      guest.spaces.invalidate({ caches: ['iotlb', 'pasid'], granularity: 'domain' });
      guest.spaces.invalidate({ caches: ['device-iotlb'], granularity: 'address', address: 0n, granuleSize: 1n << 21n, granules: 512n });
    }
    guest.mapPage(address, data);
    expect(guest.read(pasid, address)).toBe(undefined);
    expect(() => guest.spaces.invalidate({ caches: ['iotlb'], granularity: 'pasid', pasid })).toThrow('Is a page table bound');
    guest.spaces.freePasid(pasid);
    expect(() => guest.spaces.freePasid(pasid)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });

  it('passes on what the table is like', () => {
    const pasid = guest.spaces.allocatePasid();
    guest.setWord(guest.entry(address, 1, 5), data | 1n);
    using table = guest.spaces.bindGuestPageTable({
      pasid,
      pageTable: root,
      addressWidth: 57,
      supervisorRequests: true,
      extendedAccess: true,
    });
    expect([guest.read(pasid, address), guest.read(pasid, address, { privileged: true })]).toEqual([undefined, 0n]);
    expect(guest.word(root) & 0x420n).toBe(0x420n);
    expect(table.closed).toBe(false);
  });

  it('a second kind of bytes never stays in a request that is used again', () => {
    const spaces = guest.spaces;
    const pasid = spaces.allocatePasid();
    using _table = spaces.bindGuestPageTable({ pasid, pageTable: root });
    spaces.invalidate({ caches: ['iotlb'], granularity: 'address', pasid, address: 0n, granules: 7n });
    spaces.invalidate({ caches: ['iotlb'], granularity: 'pasid', pasid });
    expect(spaces.allocatePasid({ min: 500, max: 600 })).toBe(500);
    spaces.freePasid(500);
    expect(spaces.allocatePasid({ min: 1, max: 600 })).toBe(2);
  });

  it('bindings end with the container, in any order', () => {
    const table = guest.spaces.bindGuestPageTable({ pasid: guest.spaces.allocatePasid(), pageTable: root });
    const group = guest.container.openGroup(1);
    guest.container.close();
    expect([table.closed, group.closed]).toEqual([true, true]);
    expect(() => guest.spaces.bindGuestPageTable({ pasid: 1, pageTable: root })).toThrow(
      expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }),
    );
  });

  it('a binding whose last group left has nothing to undo', () => {
    const machine = new Machine({ kernel: '6.12-vsva', devices: [{ model: new Probe() }] });
    using container = Container.open(machine.kernel);
    const group = container.openGroup(0);
    container.setIommu(VFIO_TYPE1_NESTING_IOMMU);
    const spaces = new vsva.GuestAddressSpaces(container);
    const table = spaces.bindGuestPageTable({ pasid: spaces.allocatePasid(), pageTable: root });
    group.close();
    expect(container.groups.length > 0).toBe(false);
    table.close();
    expect(table.closed).toBe(true);
  });

  it('caches and granularities that do not go together are refused before the kernel sees them', () => {
    const caches = ['iotlb', 'device-iotlb', 'pasid'] as const;
    const granularities = ['domain', 'pasid', 'address'] as const;
    const pasid = guest.spaces.allocatePasid();
    using _table = guest.spaces.bindGuestPageTable({ pasid, pageTable: root });
    const refused = granularities.flatMap((granularity) =>
      caches.flatMap((cache) => {
        try {
          guest.spaces.invalidate({ caches: [cache], granularity, pasid, address: 0n });
          return [];
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
          return [`${granularity} ${cache}`];
        }
      }),
    );
    expect(refused).toEqual(['domain device-iotlb', 'address pasid']);
    expect(() => guest.spaces.invalidate({ caches: ['iotlb', 'device-iotlb'], granularity: 'domain' })).toThrow(
      "Expected one or more of 'iotlb', 'pasid', what granularity 'domain' allows, for caches but received 'device-iotlb'",
    );
  });

  it('misuse names the argument', () => {
    const { spaces } = guest;
    expect(() => spaces.allocatePasid({ min: -1 })).toThrow('for min');
    expect(() => spaces.allocatePasid({ max: 1 << 20 })).toThrow('for max');
    expect(() => spaces.allocatePasid({ min: 5, max: 4 })).toThrow('Expected a number up to max, 4, for min but received 5');
    expect(() => spaces.freePasid(1.5)).toThrow('for pasid');
    expect(() => spaces.bindGuestPageTable({ pasid: NaN, pageTable: 0n })).toThrow('for pasid');
    expect(() => spaces.bindGuestPageTable({ pasid: 1, pageTable: 8n })).toThrow('for pageTable');
    expect(() => spaces.bindGuestPageTable({ pasid: 1, pageTable: -4096n })).toThrow('for pageTable');
    expect(() => spaces.bindGuestPageTable({ pasid: 1, pageTable: 0n, addressWidth: 39 as 48 })).toThrow('for addressWidth');
    expect(() => spaces.bindGuestPageTable({ pasid: 1, pageTable: 0n, guestPasid: -1 })).toThrow('for guestPasid');
    expect(() => spaces.invalidate({ caches: [], granularity: 'domain' })).toThrow("for caches but received 'none'");
    expect(() => spaces.invalidate({ caches: ['iotlb'], granularity: 'page' as 'domain' })).toThrow('for granularity');
    const range = { caches: ['iotlb'], granularity: 'address', address: 0n } as const;
    expect(() => spaces.invalidate({ ...range, granuleSize: 12288n })).toThrow('for granuleSize');
    expect(() => spaces.invalidate({ ...range, granules: 0n })).toThrow('for granules');
    expect(() => spaces.invalidate({ ...range, address: 1n })).toThrow('for address');
    expect(() => spaces.invalidate({ ...range, granules: 1n << 53n })).toThrow('for granules');
    expect(() => spaces.invalidate({ ...range, pasid: -1 })).toThrow('for pasid');
  });

  it('on mainline, each call is refused and says what to use', () => {
    using container = Container.open(new Machine({ kernel: '6.12', devices: [{ model: new Probe() }] }).kernel);
    container.openGroup(0);
    container.setIommu();
    const spaces = new vsva.GuestAddressSpaces(container);
    const calls = [
      () => spaces.allocatePasid(),
      () => spaces.bindGuestPageTable({ pasid: 1, pageTable: 0n }),
      () => spaces.invalidate({ caches: ['iotlb'], granularity: 'domain' }),
    ];
    for (const call of calls) expect(call).toThrow(/^ENOTTY: .*iommufd/);
  });
});

describe('decodeFault() and encodePageResponse()', () => {
  const word = fc.nat({ max: 0xffff_ffff });
  const long = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

  it('an unrecoverable fault says what its record vouches for', () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 8 }),
        fc.nat({ max: 7 }),
        word,
        fc.nat({ max: 15 }),
        long,
        long,
        (reason, flags, pasid, perm, addr, fetch) => {
          const record = vsva.iommu_fault.create();
          record.type = vsva.IOMMU_FAULT_DMA_UNRECOV;
          Object.assign(record.event, { reason, flags, pasid, perm, addr, fetch_addr: fetch });
          const fault = vsva.decodeFault(record.bytes);
          expect(fault).toMatchObject({
            type: 'unrecoverable',
            pasid: flags & 1 ? pasid : undefined,
            address: flags & 2 ? addr : undefined,
            fetchAddress: flags & 4 ? fetch : undefined,
            access: { read: (perm & 1) !== 0, write: (perm & 2) !== 0, execute: (perm & 4) !== 0, privileged: (perm & 8) !== 0 },
          });
        },
      ),
    );
  });

  it('a page request likewise, and its response names it', () => {
    fc.assert(
      fc.property(fc.nat({ max: 7 }), word, word, long, fc.tuple(long, long), (flags, pasid, grpid, addr, privateData) => {
        const record = vsva.iommu_fault.create();
        record.type = vsva.IOMMU_FAULT_PAGE_REQ;
        Object.assign(record.prm, { flags, pasid, grpid, perm: 1, addr });
        record.prm.private_data.set(privateData);
        const fault = vsva.decodeFault(record.bytes);
        if (fault.type !== 'page-request') throw new Error(fault.type);
        expect(fault).toMatchObject({
          pasid: flags & 1 ? pasid : undefined,
          group: grpid,
          lastPage: (flags & 2) !== 0,
          address: addr,
          privateData: flags & 4 ? privateData : undefined,
        });
        const bytes = vsva.encodePageResponse({ pasid: fault.pasid, group: fault.group, code: 'failure' });
        expect([...new Uint32Array(bytes.buffer)]).toEqual([1, flags & 1, flags & 1 ? pasid : 0, grpid, 2]);
      }),
    );
  });

  it('refuses what is neither', () => {
    const record = vsva.iommu_fault.create();
    expect(() => vsva.decodeFault(record.bytes)).toThrow(expect.objectContaining({ code: 'ERR_VFIO_BAD_ANSWER' }));
    record.type = vsva.IOMMU_FAULT_DMA_UNRECOV;
    record.event.reason = 9;
    expect(() => vsva.decodeFault(record.bytes)).toThrow('a fault for reason 9');
    expect(() => vsva.decodeFault(new Uint8Array(63))).toThrow('Expected 64 bytes for bytes but received 63');
    expect(() => vsva.encodePageResponse({ group: 0, code: 'maybe' as 'success' })).toThrow('for code');
    expect(() => vsva.encodePageResponse({ group: -1, code: 'success' })).toThrow('for group');
    expect(() => vsva.encodePageResponse({ group: 0, pasid: 2 ** 32, code: 'success' })).toThrow('for pasid');
  });
});
