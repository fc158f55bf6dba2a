/** What becomes of a device's accesses with a PASID: the guest's table, the container's mappings, and the caches. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { errno } from '../../lib/abi/errno.js';
import {
  accessed,
  address,
  all,
  data,
  dirty,
  extendedAccessed,
  Guest,
  guestSize,
  guestStart,
  large,
  other,
  present,
  user,
  writable,
} from '../support/guest.js';

let guest: Guest;
beforeEach(() => (guest = new Guest()));
afterEach(() => guest.close());

const EAGAIN = -errno.EAGAIN;

describe('translation', () => {
  it('goes through the guest’s table and then the container’s mappings, each way', () => {
    const pasid = guest.bound();
    guest.mapPage(address, data);
    guest.setWord(data + 0x18n, 0x1234n);
    expect(guest.read(pasid, address + 0x18n)).toBe(0x1234n);
    expect(guest.write(pasid, address + 0x20n, 0x5678n)).toBe(true);
    expect(guest.word(data + 0x20n)).toBe(0x5678n);
    // Without a PASID, the same device's accesses have one stage.
    const bytes = new Uint8Array(8);
    expect(guest.probe.port.read(data + 0x18n, bytes)).toBe(true);
    expect(bytes[0]).toBe(0x34);
  });

  it('an access over two pages goes to both, or to neither', () => {
    const pasid = guest.bound();
    guest.mapPage(address, data);
    expect(guest.write(pasid, address + 0xffcn, 0x1111_2222_3333_4444n)).toBe(false);
    expect(guest.word(data + 0xff8n)).toBe(0n);
    guest.mapPage(address + 0x1000n, other);
    expect(guest.write(pasid, address + 0xffcn, 0x1111_2222_3333_4444n)).toBe(true);
    expect([guest.word(data + 0xff8n), guest.word(other)]).toEqual([0x3333_4444_0000_0000n, 0x1111_2222n]);
  });

  it('pages of 2 MiB and 1 GiB end the walk where they stand', () => {
    const pasid = guest.bound();
    const [big, huge] = [0x1_4020_0000n, 0x80_0000_0000n];
    guest.setWord(guest.entry(big, 2), (guestStart + 0x20_0000n) | all | large);
    guest.setWord(guest.entry(huge, 3), guestStart | all | large);
    guest.setWord(guestStart + 0x20_0008n, 0xaan);
    guest.setWord(guestStart + 0x2f_fff8n, 0xbbn);
    expect([guest.read(pasid, big + 8n), guest.read(pasid, big + 0xf_fff8n)]).toEqual([0xaan, 0xbbn]);
    expect([guest.read(pasid, huge + 0x20_0008n), guest.read(pasid, huge + 0x2f_fff8n)]).toEqual([0xaan, 0xbbn]);
    expect(guest.machine.cachedTranslations(guest.address).translations).toBe(2);
  });

  it('five levels translate 57 bits, four 48', () => {
    const five = guest.bound((values) => (values.addr_width = 57));
    const high = 0xff_8000_1234_5000n;
    guest.setWord(guest.entry(high, 1, 5), data | all);
    guest.setWord(data, 9n);
    expect(guest.read(five, high)).toBe(9n);
    const four = guest.bound();
    expect(guest.read(four, high)).toBe(undefined);
    expect(guest.read(four, 0xffff_ffff_ffff_fffcn)).toBe(undefined);
  });

  it('an access that leaves the address space is refused', () => {
    const pasid = guest.bound();
    guest.mapPage(0xffff_ffff_ffff_f000n, data);
    expect(guest.read(pasid, 0xffff_ffff_ffff_fff8n)).toBe(0n);
    expect(guest.read(pasid, 0xffff_ffff_ffff_fffcn)).toBe(undefined);
  });

  it('sets accessed in what it uses, and dirty in the page that is written', () => {
    const pasid = guest.bound();
    const slot = guest.mapPage(address, data);
    const above = [4, 3, 2].map((level) => guest.entry(address, level));
    guest.read(pasid, address);
    expect([...above, slot].map((at) => guest.word(at) & (accessed | dirty))).toEqual([accessed, accessed, accessed, accessed]);
    guest.write(pasid, address, 1n);
    expect([...above, slot].map((at) => guest.word(at) & (accessed | dirty))).toEqual([accessed, accessed, accessed, accessed | dirty]);
    expect(guest.word(slot) & extendedAccessed).toBe(0n);
    const extended = guest.bound((values) => (values.vtd.flags = 2n));
    guest.read(extended, address);
    expect(guest.word(slot) & extendedAccessed).toBe(extendedAccessed);
  });

  it('permissions are those that every level gives', () => {
    const pasid = guest.bound();
    const slot = guest.mapPage(address, data, present | user);
    expect([guest.read(pasid, address), guest.write(pasid, address, 1n)]).toEqual([0n, false]);
    guest.setWord(slot, data | present | writable);
    guest.invalidate(1, 0);
    expect(guest.read(pasid, address)).toBe(undefined);
    guest.setWord(slot, data | all);
    const above = guest.entry(address, 2);
    guest.setWord(above, guest.word(above) & ~writable);
    expect([guest.read(pasid, address), guest.write(pasid, address, 1n)]).toEqual([0n, false]);
    guest.setWord(above, guest.word(above) & ~user);
    guest.invalidate(1, 0);
    expect(guest.read(pasid, address)).toBe(undefined);
    expect(guest.machine.faults.map(({ reason, pasid: carried }) => [reason, carried])).toEqual([
      ['not writable', pasid],
      ['not readable', pasid],
      ['not writable', pasid],
      ['not readable', pasid],
    ]);
  });

  it('a supervisor request needs the flag, and then no permission', () => {
    const pasid = guest.bound();
    guest.mapPage(address, data, present);
    expect(guest.read(pasid, address, { privileged: true })).toBe(undefined);
    const supervisor = guest.bound((values) => (values.vtd.flags = 1n));
    expect(guest.read(supervisor, address)).toBe(undefined);
    expect([guest.read(supervisor, address, { privileged: true }), guest.write(supervisor, address, 1n, { privileged: true })]).toEqual([
      0n,
      true,
    ]);
  });

  it('the second stage has the last word', () => {
    const pasid = guest.bound();
    guest.mapPage(address, data);
    expect(guest.read(pasid, address)).toBe(0n);
    guest.container.unmap({ iova: guestStart, size: BigInt(guestSize) });
    expect(guest.read(pasid, address)).toBe(undefined);
  });

  it('with bus mastering off nothing leaves the device', () => {
    const pasid = guest.bound();
    guest.mapPage(address, data);
    guest.device.disableBusMaster();
    expect(guest.read(pasid, address)).toBe(undefined);
    let moved: boolean | undefined;
    guest.probe.port.transferOnDemand('read', address + 0x1000n, new Uint8Array(8), { pasid }, (result) => (moved = result));
    expect([moved, guest.fault()]).toEqual([false, EAGAIN]);
    expect(guest.machine.faults.map(({ reason }) => reason)).toEqual(['bus mastering is off', 'bus mastering is off']);
  });
});

describe('caches', () => {
  const caches = (): unknown => guest.machine.cachedTranslations(guest.address);

  it('a translation stays, however the table changes, until it is invalidated', () => {
    const pasid = guest.bound();
    const slot = guest.mapPage(address, data);
    guest.setWord(data, 1n);
    guest.setWord(other, 2n);
    expect(guest.read(pasid, address)).toBe(1n);
    guest.setWord(slot, other | all);
    expect(guest.read(pasid, address)).toBe(1n);
    guest.setWord(slot, 0n);
    expect(guest.read(pasid, address)).toBe(1n);
    guest.setWord(slot, other | all);
    expect(guest.invalidate(1, 1, ({ cache_info }) => Object.assign(cache_info.pasid_info, { flags: 1, pasid: BigInt(pasid) }))).toBe(0);
    expect(guest.read(pasid, address)).toBe(2n);
  });

  it('what was missing is not remembered', () => {
    const pasid = guest.bound();
    guest.entry(address);
    expect(guest.read(pasid, address)).toBe(undefined);
    guest.mapPage(address, data);
    expect(guest.read(pasid, address)).toBe(0n);
  });

  it('a range drops the pages it touches, of the PASID it names or of all', () => {
    const [one, two] = [guest.bound(), guest.bound()];
    const slots = [0n, 1n, 2n].map((page) => guest.mapPage(address + page * 0x1000n, data + page * 0x1000n));
    const touch = (): void =>
      [one, two].forEach((pasid) => slots.forEach((_, page) => guest.read(pasid, address + BigInt(page) * 0x1000n)));
    const drop = (flags: number, granules: bigint): void => {
      const values = { flags, pasid: BigInt(one), addr: address + 0x1000n, granule_size: 4096n, nb_granules: granules };
      expect(guest.invalidate(1, 2, ({ cache_info }) => Object.assign(cache_info.addr_info, values))).toBe(0);
    };
    touch();
    expect(caches()).toEqual({ pasids: 2, translations: 6, deviceTranslations: 0 });
    drop(1, 1n);
    expect(caches()).toMatchObject({ translations: 5 });
    touch();
    drop(1, 100n);
    expect(caches()).toMatchObject({ translations: 4 });
    touch();
    drop(0, 1n);
    expect(caches()).toMatchObject({ translations: 4 });
    touch();
    expect(guest.invalidate(5, 0)).toBe(0);
    expect(caches()).toEqual({ pasids: 0, translations: 0, deviceTranslations: 0 });
  });

  it('a small range inside a large page drops the page', () => {
    const pasid = guest.bound();
    const slot = guest.entry(0x20_0000n, 2);
    guest.setWord(slot, (guestStart + 0x20_0000n) | all | large);
    guest.setWord(guestStart + 0x20_0000n, 1n);
    expect(guest.read(pasid, 0x20_0000n)).toBe(1n);
    guest.setWord(slot, guestStart | all | large);
    const values = { flags: 5, pasid: BigInt(pasid), addr: 0x2f_f000n, granule_size: 4096n, nb_granules: 1n };
    guest.invalidate(1, 2, ({ cache_info }) => Object.assign(cache_info.addr_info, values));
    expect(guest.read(pasid, 0x20_0000n)).toBe(guest.word(guestStart));
  });

  it('a device that keeps translations itself goes on with them until its own cache is invalidated', () => {
    const pasid = guest.bound();
    const slot = guest.mapPage(address, data);
    guest.setWord(data, 1n);
    guest.setWord(other, 2n);
    const read = (): bigint | undefined => guest.read(pasid, address, { ats: true });
    expect(read()).toBe(1n);
    expect(caches()).toEqual({ pasids: 1, translations: 1, deviceTranslations: 1 });
    guest.setWord(slot, other | all);
    guest.invalidate(1, 0);
    expect([read(), guest.read(pasid, address)]).toEqual([1n, 2n]);
    const values = { flags: 1, pasid: BigInt(pasid), addr: address, granule_size: 4096n, nb_granules: 1n };
    expect(guest.invalidate(2, 2, ({ cache_info }) => Object.assign(cache_info.addr_info, values))).toBe(0);
    expect(read()).toBe(2n);
    expect(guest.invalidate(6, 1, ({ cache_info }) => Object.assign(cache_info.pasid_info, { flags: 1, pasid: BigInt(pasid) }))).toBe(0);
    expect(caches()).toEqual({ pasids: 0, translations: 1, deviceTranslations: 0 });
  });

  it('more permission needs no invalidation, and a first write tells the table', () => {
    const pasid = guest.bound();
    const slot = guest.mapPage(address, data, present | user);
    expect([guest.read(pasid, address), guest.write(pasid, address, 1n)]).toEqual([0n, false]);
    guest.setWord(slot, data | all);
    expect(guest.write(pasid, address, 1n)).toBe(true);
    expect(guest.word(slot) & dirty).toBe(dirty);
  });

  it('a page that was dirty when it was read is written without a walk, however stale it is', () => {
    const pasid = guest.bound();
    const slot = guest.mapPage(address, data, all | dirty);
    expect(guest.read(pasid, address)).toBe(0n);
    guest.setWord(slot, 0n);
    expect([guest.write(pasid, address, 1n), guest.word(data)]).toEqual([true, 1n]);
  });

  it('unbinding forgets everything', () => {
    const pasid = guest.bound();
    guest.mapPage(address, data);
    guest.read(pasid, address, { ats: true });
    guest.bind(pasid, undefined, { flags: 2 });
    expect(caches()).toEqual({ pasids: 0, translations: 0, deviceTranslations: 0 });
    expect(guest.read(pasid, address, { ats: true })).toBe(undefined);
  });
});
