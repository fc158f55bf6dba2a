/** The requests of the proposal of 2020 on the simulated kernel that has it, byte by byte. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as abi from '../../lib/abi/index.js';
import { errno } from '../../lib/abi/errno.js';
import type { Request } from '../../lib/abi/ioctl.js';
import { Container } from '../../lib/index.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import { Machine } from '../../lib/sim/index.js';
import * as vsva from '../../lib/vfio/vsva-2020.js';
import { Guest, guestSize, guestStart, Probe, pasidRequest, root, type BindData, type Invalidate } from '../support/guest.js';

let guest: Guest;
beforeEach(() => (guest = new Guest()));
afterEach(() => guest.close());

const [EINVAL, EBUSY, EFAULT, ENOTTY, ENOSPC, EOPNOTSUPP] = [
  -errno.EINVAL,
  -errno.EBUSY,
  -errno.EFAULT,
  -errno.ENOTTY,
  -errno.ENOSPC,
  -errno.EOPNOTSUPP,
];

describe('the profile', () => {
  it('answers its version to extension 9, and knows no UNMAP_ALL', () => {
    expect(guest.container.checkExtension(vsva.VFIO_NESTING_IOMMU_UAPI)).toBe(1);
    expect(guest.container.checkExtension(abi.VFIO_TYPE1_NESTING_IOMMU)).toBe(1);
    expect(() => guest.container.unmapAll()).toThrow('EINVAL');
    expect(guest.container.unmap({ iova: guestStart, size: BigInt(guestSize) })).toBe(BigInt(guestSize));
  });

  it('a nesting container has the nesting capability in place of migration; others have neither', () => {
    const ids = (container: Container): unknown => container.info().capabilities.map(({ id, bytes }) => [id, bytes.byteLength]);
    expect(ids(guest.container)).toEqual([
      [2, 16],
      [3, 16],
      [1, 48],
    ]);
    const plain = new Guest(abi.VFIO_TYPE1v2_IOMMU);
    expect(ids(plain.container)).toEqual([
      [3, 16],
      [1, 48],
    ]);
    plain.close();
  });

  it('requests are EINVAL before SET_IOMMU, EOPNOTSUPP on another type, and ENOTTY on mainline', () => {
    const open = (kernel: '6.12' | '6.12-vsva', type: number): number[] => {
      const machine = new Machine({ kernel, devices: [{ model: new Probe() }] });
      using container = Container.open(machine.kernel);
      const ask = (): number[] => vsva.proposedRequests.map((request) => guest.ioctl(request, new Uint8Array(80), container));
      expect(ask()).toEqual([EINVAL, EINVAL, EINVAL]);
      container.openGroup(0);
      container.setIommu(type);
      return ask();
    };
    expect(open('6.12-vsva', abi.VFIO_TYPE1v2_IOMMU)).toEqual([EOPNOTSUPP, EOPNOTSUPP, EOPNOTSUPP]);
    expect(open('6.12', abi.VFIO_TYPE1v2_IOMMU)).toEqual([ENOTTY, ENOTTY, ENOTTY]);
    expect(guest.ioctl({ number: 0x3b7d } as Request, new Uint8Array(80))).toBe(ENOTTY);
    const plain = new Guest(abi.VFIO_TYPE1v2_IOMMU);
    expect(plain.ioctl({ number: 0x3b7d } as Request, new Uint8Array(80))).toBe(ENOTTY);
    plain.close();
  });

  it('an IOMMU whose format nobody declared does not nest', () => {
    const machine = new Machine({ kernel: '6.12-vsva', iommu: 'amd', devices: [{ model: new Probe() }] });
    using container = Container.open(machine.kernel);
    container.openGroup(0);
    expect(() => container.setIommu(abi.VFIO_TYPE1_NESTING_IOMMU)).toThrow('EINVAL');
    container.setIommu();
  });

  it('a mainline machine has no fault channel', () => {
    const machine = new Machine({ kernel: '6.12', devices: [{ model: new Probe() }] });
    expect(() => machine.faultChannel('0000:00:03.0')).toThrow("Expected a machine with kernel '6.12-vsva'");
    expect(() => guest.machine.faultChannel('0000:00:1f.0')).toThrow('for address');
    expect(machine.cachedTranslations('0000:00:03.0')).toEqual({ pasids: 0, translations: 0, deviceTranslations: 0 });
  });
});

describe('VFIO_IOMMU_PASID_REQUEST', () => {
  it('gives the lowest free PASID of the range, never 0, and takes it back', () => {
    expect([guest.allocate(0, 10), guest.allocate(0, 10), guest.allocate(5, 6), guest.allocate(5, 6), guest.allocate(5, 6)]).toEqual([
      1,
      2,
      5,
      6,
      ENOSPC,
    ]);
    expect(guest.free(2)).toBe(0);
    expect(guest.allocate(0, 10)).toBe(2);
    expect([guest.allocate(0, 0), guest.allocate(0xf_ffff, 0xf_ffff), guest.allocate(3, 2), guest.allocate(1, 0x10_0000)]).toEqual([
      ENOSPC,
      0xf_ffff,
      EINVAL,
      EINVAL,
    ]);
  });

  it('frees only what the container has and nothing is bound to', () => {
    const pasid = guest.allocate(1, 9);
    expect([guest.free(0), guest.free(pasid + 1), guest.free(0xffff_ffff)]).toEqual([EINVAL, EINVAL, EINVAL]);
    expect(guest.bind(pasid)).toBe(0);
    expect(guest.free(pasid)).toBe(EBUSY);
    expect(guest.bind(pasid, undefined, { flags: 2 })).toBe(0);
    expect([guest.free(pasid), guest.free(pasid)]).toEqual([0, EINVAL]);
  });

  it('two containers never have the same PASID, nor each other’s; the last group’s leaving frees them', () => {
    const first = guest.allocate(1, 9);
    const container = Container.open(guest.machine.kernel);
    container.openGroup(1);
    container.setIommu(abi.VFIO_TYPE1_NESTING_IOMMU);
    const spaces = new vsva.GuestAddressSpaces(container);
    expect(spaces.allocatePasid()).toBe(first + 1);
    expect(() => spaces.freePasid(first)).toThrow('EINVAL');
    expect(() => spaces.bindGuestPageTable({ pasid: first, pageTable: root })).toThrow('EINVAL');
    container.close();
    expect(guest.allocate(1, 9)).toBe(first + 1);
  });

  it('takes exactly one flag, an argsz that covers its member, and memory that is there', () => {
    const ask = (flags: number, argsz: number): number =>
      guest.ioctl(vsva.VFIO_IOMMU_PASID_REQUEST, pasidRequest(flags, { min: 1, max: 9 }, argsz));
    expect([ask(0, 20), ask(3, 20), ask(4, 20), ask(5, 20), ask(1, 7), ask(1, 19), ask(2, 11)]).toEqual(Array(7).fill(EINVAL));
    expect([ask(1, 20), ask(2, 12)]).toEqual([0, 0]);
    expect(guest.ioctl(vsva.VFIO_IOMMU_PASID_REQUEST, 0x1000)).toBe(EFAULT);
  });
});

it.each<[string, Request, words: readonly number[]]>([
  ['PASID_REQUEST', vsva.VFIO_IOMMU_PASID_REQUEST, [20, 1]],
  ['BIND', vsva.VFIO_IOMMU_BIND, [80, 1]],
  ['CACHE_INVALIDATE', vsva.VFIO_IOMMU_CACHE_INVALIDATE, [56, 0]],
])('%s whose struct runs past the end of its memory is EFAULT', (_name, request, words) => {
  const { kernel } = guest.machine;
  const page = kernel.mmap(-1, 4096, 3, 0x22, 0) as Mapping;
  const start = 4096 - 4 * words.length;
  new Uint32Array(page.memory!, start).set(words);
  expect(guest.ioctl(request, Number(kernel.addressOf(page.memory!)) + start)).toBe(EFAULT);
  page.unmap();
});

it('a request with a flag that is none does nothing', () => {
  const pasid = guest.allocate(1, 9);
  expect(guest.ioctl(vsva.VFIO_IOMMU_PASID_REQUEST, pasidRequest(4, { free: pasid }))).toBe(EINVAL);
  expect([guest.bind(pasid), guest.bind(pasid, undefined, { flags: 4 }), guest.bind(pasid)]).toEqual([0, EINVAL, EBUSY]);
});

describe('VFIO_IOMMU_BIND', () => {
  it('binds a PASID once, and unbinds it once', () => {
    const pasid = guest.allocate(1, 9);
    const unbind = (): number => guest.bind(pasid, undefined, { flags: 2 });
    expect([unbind(), guest.bind(pasid), guest.bind(pasid), unbind(), unbind(), guest.bind(pasid)]).toEqual([
      EINVAL,
      0,
      EBUSY,
      0,
      EINVAL,
      0,
    ]);
  });

  it.each<[string, (data: BindData) => void]>([
    ['a version of 0', (data) => (data.version = 0)],
    ['a later version', (data) => (data.version = 2)],
    ['another format', (data) => (data.format = 2)],
    ['unknown flags', (data) => (data.flags = 2n)],
    ['unknown VT-d flags', (data) => (data.vtd.flags = 64n)],
    ['a width of three levels', (data) => (data.addr_width = 39)],
    ['a table off its page', (data) => (data.gpgd = root + 8n)],
    ['padding that is not zero', (data) => (data.padding[11] = 1)],
    ['a guest PASID of 21 bits', (data) => ((data.flags = 1n), (data.gpasid = 1n << 20n))],
    ['a PASID nobody allocated', (data) => (data.hpasid = 77n)],
    ['a PASID of 33 bits', (data) => (data.hpasid += 1n << 32n)],
  ])('refuses %s', (_name, change) => {
    expect(guest.bind(guest.allocate(1, 9), change)).toBe(EINVAL);
  });

  it('looks at no guest PASID that it is not told of', () => {
    expect(guest.bind(guest.allocate(1, 9), (data) => (data.gpasid = 1n << 20n))).toBe(0);
  });

  it('takes five levels, every VT-d flag and a guest PASID', () => {
    const change = (data: BindData): void => {
      Object.assign(data, { flags: 1n, gpasid: 0xf_ffffn, addr_width: 57 });
      data.vtd.flags = 63n;
    };
    expect(guest.bind(guest.allocate(1, 9), change)).toBe(0);
  });

  it('takes exactly one flag, an argsz that covers the data, and memory that is there', () => {
    const pasid = guest.allocate(1, 9);
    const refused = [{ flags: 0 }, { flags: 3 }, { flags: 5 }, { argsz: 79 }, { argsz: 8 }, { argsz: 7 }];
    expect(refused.map((options) => guest.bind(pasid, undefined, options))).toEqual(Array(6).fill(EINVAL));
    expect(guest.ioctl(vsva.VFIO_IOMMU_BIND, 0x1000)).toBe(EFAULT);
  });
});

describe('VFIO_IOMMU_CACHE_INVALIDATE', () => {
  it('takes the caches that the granularity allows, and no others', () => {
    const pasid = guest.allocate(1, 9);
    guest.bind(pasid);
    const result = (cache: number, granularity: number): number =>
      guest.invalidate(cache, granularity, ({ cache_info: { pasid_info, addr_info } }) => {
        if (granularity === 1) Object.assign(pasid_info, { flags: 1, pasid: BigInt(pasid) });
        if (granularity === 2) Object.assign(addr_info, { flags: 1, pasid: BigInt(pasid), granule_size: 4096n, nb_granules: 1n });
      });
    const caches = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    const allowed = [0, 1, 2, 3].map((granularity) => caches.filter((cache) => result(cache, granularity) === 0));
    expect(allowed).toEqual([[1, 4, 5], [1, 2, 3, 4, 5, 6, 7], [1, 2, 3], []]);
  });

  it('refuses what is malformed', () => {
    const pasid = guest.allocate(1, 9);
    guest.bind(pasid);
    const unbound = BigInt(guest.allocate(1, 9));
    const wrong: [number, (request: Invalidate) => void][] = [
      [0, (request) => (request.argsz = 55)],
      [0, (request) => (request.flags = 1)],
      [0, ({ cache_info }) => (cache_info.version = 2)],
      [0, ({ cache_info }) => (cache_info.padding[1] = 1)],
      [1, () => {}],
      [1, ({ cache_info }) => Object.assign(cache_info.pasid_info, { flags: 2, archid: 1, pasid: BigInt(pasid) })],
      [1, ({ cache_info }) => Object.assign(cache_info.pasid_info, { flags: 5, pasid: BigInt(pasid) })],
      [1, ({ cache_info }) => Object.assign(cache_info.pasid_info, { flags: 1, pasid: unbound })],
      [1, ({ cache_info }) => Object.assign(cache_info.pasid_info, { flags: 1, pasid: BigInt(pasid) + (1n << 32n) })],
    ];
    expect(wrong.map(([granularity, change]) => guest.invalidate(1, granularity, change))).toEqual(Array(wrong.length).fill(EINVAL));
    expect(guest.invalidate(1, 1, ({ cache_info }) => Object.assign(cache_info.pasid_info, { flags: 3, pasid: BigInt(pasid) }))).toBe(0);
    expect(guest.ioctl(vsva.VFIO_IOMMU_CACHE_INVALIDATE, 0x1000)).toBe(EFAULT);
  });

  it('refuses ranges that are none', () => {
    const pasid = guest.allocate(1, 9);
    guest.bind(pasid);
    const range = (values: Record<string, number | bigint>): number =>
      guest.invalidate(1, 2, ({ cache_info }) =>
        Object.assign(cache_info.addr_info, { flags: 1, pasid: BigInt(pasid), addr: 0n, granule_size: 4096n, nb_granules: 1n, ...values }),
      );
    const wrong = [
      { granule_size: 0n },
      { granule_size: 2048n },
      { granule_size: 12288n },
      { addr: 0x800n },
      { addr: 0x1000n, granule_size: 0x20_0000n },
      { nb_granules: 0n },
      { addr: 0xffff_ffff_ffff_f000n, nb_granules: 2n },
      { flags: 8 },
      { pasid: BigInt(pasid) + 1n },
    ];
    expect(wrong.map(range)).toEqual(Array(wrong.length).fill(EINVAL));
    expect([range({}), range({ flags: 0, pasid: 77n }), range({ flags: 7 }), range({ addr: 0xffff_ffff_ffff_f000n })]).toEqual([
      0, 0, 0, 0,
    ]);
  });
});
