/** A guest on a simulated SMMUv3: its stream table entries, its page tables, its commands and its events. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { IOMMU_HWPT_DATA_ARM_SMMUV3, IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3, iommu_hwpt_arm_smmuv3 } from '../../lib/abi/iommufd/hwpt.js';
import {
  IOMMU_VEVENTQ_TYPE_ARM_SMMUV3,
  IOMMU_VIOMMU_TYPE_ARM_SMMUV3,
  IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV,
  iommu_vevent_arm_smmuv3,
  iommufd_vevent_header,
} from '../../lib/abi/iommufd/viommu.js';
import { Cdev, findDevice, Iommufd, type DmaBuffer } from '../../lib/index.js';
import { Machine, PciFunction, type DmaPort } from '../../lib/sim/index.js';
import { ViommuSeam } from '../support/viommu-seam.js';

class Probe extends PciFunction {
  constructor() {
    super({ vendor: 0x1af4, device: 0x10f0, classCode: 0xff0000, bars: { 0: 4096 } });
  }
  get port(): DmaPort {
    return this.dma;
  }
  override readBar(): bigint {
    return 0n;
  }
  override writeBar(): void {}
}

const valid = 1n;
const [abort, bypass, translate] = [0n << 1n, 4n << 1n, 5n << 1n];
const smmu = { type: IOMMU_VIOMMU_TYPE_ARM_SMMUV3 };
const stream = 0x20n;
/** Tables of 48 bits and pages of 4 KiB: valid, AArch64, 16 bits unused; address space 7. */
const contextWord = (1n << 31n) | (1n << 41n) | 16n | (7n << 48n);
const table = 3n;
const page = 3n | (1n << 10n);
const readOnly = 1n << 7n;

let probe: Probe;
let iommufd: Iommufd;
let device: Cdev;
let viommus: ViommuSeam;
let memory: DmaBuffer;
let viommu: number;

beforeEach(() => {
  probe = new Probe();
  const { kernel } = new Machine({ iommu: 'smmuv3', iommuFeatures: ['nesting'], devices: [{ model: probe, address: '0000:00:03.0' }] });
  iommufd = Iommufd.open(kernel);
  device = Cdev.open(iommufd, findDevice(kernel, '0000:00:03.0'));
  device.enableBusMaster();
  const ioas = iommufd.createIoas();
  viommus = new ViommuSeam(kernel, iommufd.fd);
  const parent = Number(viommus.table(device.id, ioas.id));
  memory = ioas.allocate(0x10000);
  viommu = Number(viommus.alloc(device.id, parent, smmu));
});
// What was made at the seam goes with the machine.
afterEach(() => viommus.close());

const words = (): BigUint64Array => new BigUint64Array(memory.memory);
/** Where the guest has page `index` of its memory. */
const guest = (index: number): bigint => memory.iova + BigInt(index) * 0x1000n;
const set = (index: number, at: number, value: bigint): void => void (words()[index * 512 + at] = value);

/** A page table of the guest, by its stream table entry. */
function nest(first: bigint, second = 0n, fields = {}): string {
  iommu_hwpt_arm_smmuv3.view(viommus.memory).ste.set([first, second]);
  const data = { data_type: IOMMU_HWPT_DATA_ARM_SMMUV3, data_len: 16, data_uptr: viommus.address };
  return viommus.table(device.id, viommu, { flags: 0, ...data, ...fields });
}
const attach = (id: string): number => device.attach({ fd: iommufd.fd, id: Number(id) });

/** The context descriptor in page 0, four levels in pages 1 to 4, and what they map at 0x40_0000: page 5, and 6 to be read. */
function writeTables(): void {
  set(0, 0, contextWord);
  set(0, 1, guest(1));
  set(1, 0, guest(2) | table);
  set(2, 0, guest(3) | table);
  set(3, 2, guest(4) | table);
  set(4, 0, guest(5) | page);
  set(4, 1, guest(6) | page | readOnly);
  set(5, 0, 0x1234n);
}
const read = (iova: bigint): bigint | undefined => {
  const bytes = new Uint8Array(8);
  return probe.port.read(iova, bytes) ? new DataView(bytes.buffer).getBigUint64(0, true) : undefined;
};
const write = (iova: bigint): boolean => probe.port.write(iova, new Uint8Array(8).fill(0xff));
const command = (...entries: readonly (readonly [bigint, bigint])[]): string =>
  viommus.invalidate(
    viommu,
    entries.map((entry) => entry.flatMap((word) => [Number(word & 0xffff_ffffn), Number(word >> 32n)])),
    { data_type: IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3, entry_len: 16 },
  );

describe('stream table entries', () => {
  it('abort, or pass on what the guest has as its memory', () => {
    set(5, 0, 0x1234n);
    attach(nest(valid | bypass));
    expect([read(guest(5)), write(guest(5))]).toEqual([0x1234n, true]);
    attach(nest(valid | abort));
    expect([read(guest(5)), write(guest(5))]).toEqual([undefined, false]);
    attach(nest(0n, 0xffffn));
    expect(read(guest(5))).toBe(undefined);
  });

  it('translate, for a stream that has a number of the guest', () => {
    writeTables();
    const entry = nest(valid | translate | guest(0));
    expect(() => attach(entry)).toThrow('ENOENT');
    viommus.device(viommu, device.id, stream);
    attach(entry);
    expect([read(0x40_0000n), read(0x40_1000n), read(0x40_2000n), read(guest(5))]).toEqual([0x1234n, 0n, undefined, undefined]);
    expect([write(0x40_0008n), write(0x40_1000n), words()[5 * 512 + 1]]).toEqual([true, false, 0xffff_ffff_ffff_ffffn]);
  });

  it('blocks of 2 MiB and narrower addresses end the walk earlier', () => {
    writeTables();
    set(0, 0, (contextWord & ~0x3fn) | 25n);
    set(0, 1, guest(2));
    // Physical addresses of a block are multiples of its size; the guest has its memory at none.
    set(3, 3, 0x1n | (1n << 10n));
    set(2, 0, guest(3) | table);
    viommus.device(viommu, device.id, stream);
    attach(nest(valid | translate | guest(0)));
    expect([read(0x40_0000n), read(0x60_0000n + guest(5)), read(1n << 39n)]).toEqual([0x1234n, 0x1234n, undefined]);
  });

  it('with several contexts abort, as this SMMU has no substreams', () => {
    writeTables();
    viommus.device(viommu, device.id, stream);
    attach(nest(valid | translate | guest(0) | (1n << 59n)));
    expect([read(0x40_0000n), read(guest(5))]).toEqual([undefined, undefined]);
  });

  it('refuse bits that are not the guest’s, and other configurations', () => {
    expect([nest(valid | (6n << 1n)), nest(valid | (7n << 1n)), nest(valid | bypass | (1n << 53n))]).toEqual(['EIO', 'EIO', 'EIO']);
    expect([nest(valid | bypass, 1n << 8n), nest(valid | bypass, 2n << 28n), nest(valid | translate, 1n << 28n)]).toEqual([
      'EIO',
      'EIO',
      expect.stringMatching(/^\d+$/),
    ]);
    const given = [{ flags: 8 }, { data_type: 1 }, { data_len: 8 }, { data_type: 0, data_len: 0 }];
    expect(given.map((fields) => nest(valid, 0n, fields))).toEqual(['EOPNOTSUPP', 'EINVAL', 'EINVAL', 'EOPNOTSUPP']);
  });
});

describe('the guest’s tables', () => {
  const attachTranslated = (): void => {
    viommus.device(viommu, device.id, stream);
    attach(nest(valid | translate | guest(0)));
  };
  beforeEach(writeTables);

  it.each([
    ['that is not valid', contextWord & ~(1n << 31n)],
    ['of the 32-bit format', contextWord & ~(1n << 41n)],
    ['of big-endian tables', contextWord | (1n << 15n)],
    ['of pages of 64 KiB', contextWord | (1n << 6n)],
    ['whose walks are disabled', contextWord | (1n << 14n)],
    ['of 24 bits', (contextWord & ~0x3fn) | 40n],
    ['of 49 bits', (contextWord & ~0x3fn) | 15n],
  ])('a context %s translates nothing', (_name, word) => {
    set(0, 0, word);
    attachTranslated();
    expect(read(0x40_0000n)).toBe(undefined);
  });

  it.each([
    ['of 24 bits', 40n, 3],
    ['of 49 bits', 15n, 7],
  ])('a context %s translates nothing, where the walk would come to an end', (_name, unused, root) => {
    set(7, 0, guest(1) | table);
    set(0, 0, (contextWord & ~0x3fn) | unused);
    set(0, 1, guest(root));
    attachTranslated();
    expect(read(0x40_0000n)).toBe(undefined);
  });

  it('a page that was not accessed yet is reached where the context does not look at that', () => {
    set(4, 0, guest(5) | 3n);
    attachTranslated();
    expect(read(0x40_0000n)).toBe(undefined);
    set(0, 0, contextWord | (1n << 35n));
    command([0x05n | (stream << 32n), 1n], [0x30n, 0n]);
    expect(read(0x40_0000n)).toBe(0x1234n);
  });

  it('a table entry can have all below it read only', () => {
    set(3, 2, guest(4) | table | (1n << 62n));
    attachTranslated();
    expect([read(0x40_0000n), write(0x40_0000n)]).toEqual([0x1234n, false]);
  });

  it('are read only where the guest has memory that can be read', () => {
    const ioas = iommufd.createIoas();
    const parent = Number(viommus.table(device.id, ioas.id));
    const { iova } = ioas.allocate(0x1000, { read: false });
    const other = viommus.alloc(device.id, parent, smmu);
    viommus.device(Number(other), device.id, stream);
    const data = { data_type: IOMMU_HWPT_DATA_ARM_SMMUV3, data_len: 16, data_uptr: viommus.address, flags: 0 };
    for (const context of [iova, iova + 0x1000n]) {
      iommu_hwpt_arm_smmuv3.view(viommus.memory).ste.set([valid | translate | context, 0n]);
      attach(viommus.table(device.id, Number(other), data));
      expect(read(0x40_0000n)).toBe(undefined);
    }
  });
});

describe('commands', () => {
  beforeEach(() => {
    writeTables();
    viommus.device(viommu, device.id, stream);
    attach(nest(valid | translate | guest(0)));
    read(0x40_0000n);
    set(4, 0, guest(7) | page);
    set(7, 0, 0x5678n);
  });

  it('what was translated stays so until the guest says otherwise', () => {
    expect(read(0x40_0000n)).toBe(0x1234n);
    const pages = (asid: bigint, address: bigint): string => command([0x12n | (asid << 48n), address]);
    expect([pages(8n, 0x40_0000n), read(0x40_0000n)]).toEqual(['1', 0x1234n]);
    expect([pages(7n, 0x40_1000n), read(0x40_0000n)]).toEqual(['1', 0x1234n]);
    expect([pages(7n, 0x40_0000n), read(0x40_0000n)]).toEqual(['1', 0x5678n]);
  });

  it.each([
    ['of all address spaces', [0x13n, 0x40_0000n]],
    ['of a range', [0x12n | (7n << 48n) | (3n << 12n), 0x3f_f000n | (1n << 10n)]],
    ['of a range, at the lowest level', [0x12n | (7n << 48n), 0x40_0000n | (1n << 10n) | (1n << 8n)]],
    ['of a range, in other pages', [0x12n | (7n << 48n), 0x40_0000n | (2n << 10n) | (2n << 8n)]],
    ['of one address space', [0x11n | (7n << 48n), 0n]],
    ['of the guest', [0x10n, 0n]],
    ['of everything', [0x30n, 0n]],
  ] as const)('drop translations %s', (_name, entry) => {
    expect([command(entry), read(0x40_0000n)]).toEqual(['1', 0x5678n]);
  });

  it('drop the context of a stream of the guest', () => {
    set(0, 1, guest(8));
    set(8, 0, guest(2) | table);
    set(1, 0, 0n);
    expect(command([0x05n | (stream << 32n), 1n], [0x06n | (stream << 32n), 0n], [0x30n, 0n])).toBe('3');
    expect(read(0x40_0000n)).toBe(0x5678n);
  });

  it('are refused with bits that are not the guest’s, and for streams that it has not', () => {
    const refused: readonly (readonly [bigint, bigint])[] = [
      [0x40n | (stream << 32n), 0n],
      [0x03n | (stream << 32n), 0n],
      [0x05n | (0x21n << 32n), 0n],
      [0x05n | (stream << 32n), 2n],
      [0x06n | (stream << 32n), 1n],
      [0x05n | (stream << 32n) | (1n << 12n), 0n],
      [0x30n | (1n << 32n), 0n],
      [0x10n | (1n << 48n), 0n],
      [0x13n | (1n << 48n), 0n],
      [0x12n | (1n << 12n), 0n],
      [0x12n | (1n << 25n), 1n << 10n],
      [0x12n, 1n << 10n],
      [0x12n, (2n << 10n) | (1n << 8n)],
      [0x12n, 1n << 8n],
      [0x12n, 2n],
    ];
    expect(refused.map((entry) => command(entry))).toEqual(refused.map(() => '0 EIO'));
    expect([command(), command([0x30n, 0n], [0x40n, 0n])]).toEqual(['0 EINVAL', '1 EIO']);
    // What came before in the same batch is counted, and was not done.
    expect(read(0x40_0000n)).toBe(0x1234n);
  });
});

describe('events', () => {
  it('tell the guest which access failed, by its own number of the stream', () => {
    writeTables();
    viommus.device(viommu, device.id, stream);
    const queue = viommus.eventQueue(viommu, { type: IOMMU_VEVENTQ_TYPE_ARM_SMMUV3, veventq_depth: 8 });
    if (typeof queue === 'string') throw new Error(queue);
    attach(nest(valid | translate | guest(0)));
    const next = (): readonly bigint[] => {
      const bytes = new Uint8Array(new ArrayBuffer(iommufd_vevent_header.size + iommu_vevent_arm_smmuv3.size));
      expect(viommus.kernel.read(queue.fd, bytes)).toBe(40);
      return [...iommu_vevent_arm_smmuv3.copy(bytes.subarray(8)).evt];
    };
    read(0x40_2008n);
    expect(next()).toEqual([0x10n | (stream << 32n), 2n << 40n, 0x40_2008n, 0n]);
    set(4, 2, guest(7) | 3n);
    write(0x40_2008n);
    expect(next()[0]).toBe(0x12n | (stream << 32n));
    set(0, 0, 0n);
    command([0x05n | (stream << 32n), 0n]);
    read(0x40_3000n);
    expect(next()[0]).toBe(0x0an | (stream << 32n));
    viommus.kernel.close(queue.fd);
  });
});

it('an SMMU describes itself as one, and makes no other tables', () => {
  expect(iommufd.hardwareInformation(device)).toMatchObject({ type: 2, hardware: { kind: 'smmuv3' } });
  expect(iommufd.hardwareInformation(device, 2)).toMatchObject({ type: 2 });
  expect(() => iommufd.hardwareInformation(device, 1)).toThrow('EOPNOTSUPP');
  const ioas = iommufd.createIoas();
  const [nestParent, dirtyTracking] = [1, 2];
  expect(viommus.table(device.id, ioas.id, { flags: dirtyTracking })).toMatch(/^\d+$/);
  expect(viommus.table(device.id, ioas.id, { flags: nestParent | dirtyTracking })).toBe('EOPNOTSUPP');
  const data = { data_type: IOMMU_HWPT_DATA_ARM_SMMUV3, data_len: 16, data_uptr: viommus.address };
  expect(viommus.table(device.id, ioas.id, data)).toMatch(/^E/);
});

it('an SMMU that cannot nest has no virtual ones, and there are none of another kind', () => {
  expect(viommus.alloc(device.id, 99, { type: IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV })).toBe('EOPNOTSUPP');
  const { kernel } = new Machine({ iommu: 'smmuv3', devices: [{ model: new Probe(), address: '0000:00:03.0' }] });
  const plain = Iommufd.open(kernel);
  const other = Cdev.open(plain, findDevice(kernel, '0000:00:03.0'));
  const calls = new ViommuSeam(kernel, plain.fd);
  const ioas = plain.createIoas();
  expect(calls.table(other.id, ioas.id)).toBe('EOPNOTSUPP');
  expect(calls.alloc(other.id, 99, smmu)).toBe('EOPNOTSUPP');
  other.attach(ioas);
  expect(ioas.ranges()).toEqual([
    { start: 0n, last: 0x7ff_ffffn },
    { start: 0x810_0000n, last: 0xffff_ffff_ffffn },
  ]);
  other.detach();
  calls.close();
});
