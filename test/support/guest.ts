/** A guest to test with: memory that a nesting container maps, a page table in it, and a device that carries PASIDs. */
import type { Request } from '../../lib/abi/ioctl.js';
import { VFIO_TYPE1_NESTING_IOMMU } from '../../lib/abi/vfio/container.js';
import { Container } from '../../lib/index.js';
import type { Device } from '../../lib/index.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import { Machine, PciFunction, type DmaPort } from '../../lib/sim/index.js';
import * as vsva from '../../lib/vfio/vsva-2020.js';

/** Does what the test says. */
export class Probe extends PciFunction {
  constructor() {
    super({ vendor: 0x1af4, device: 0x10f1, classCode: 0xff0000, bars: { 0: 4096 } });
  }
  override readBar(): bigint {
    return 0n;
  }
  override writeBar(): void {}
  get port(): DmaPort {
    return this.dma;
  }
}

export const present = 1n;
export const writable = 2n;
export const user = 4n;
export const accessed = 0x20n;
export const dirty = 0x40n;
export const large = 0x80n;
export const extendedAccessed = 0x400n;
export const all = present | writable | user;

/** Where the guest's memory begins, and its size: all it has is 4 MiB at 1 GiB. */
export const guestStart = 0x4000_0000n;
export const guestSize = 4 << 20;
/** The top-level table. */
export const root = guestStart + 0x1000n;

/** A page of its memory, another, and where its processes see pages. */
export const data = guestStart + 0x10_0000n;
export const other = guestStart + 0x11_0000n;
export const address = 0x7f12_3456_7000n;

export type BindData = ReturnType<typeof vsva.iommu_gpasid_bind_data.create>;
export type Invalidate = ReturnType<typeof vsva.vfio_iommu_type1_cache_invalidate.create>;

export class Guest {
  readonly machine: Machine;
  readonly probe = new Probe();
  readonly other = new Probe();
  readonly address = '0000:00:03.0';
  readonly container: Container;
  readonly spaces: vsva.GuestAddressSpaces;
  readonly device: Device;
  readonly #memory: Mapping;
  readonly #words: DataView;
  #nextTable = root + 0x1000n;

  constructor(type = VFIO_TYPE1_NESTING_IOMMU) {
    this.machine = new Machine({ kernel: '6.12-vsva', devices: [{ model: this.probe }, { model: this.other }] });
    const { kernel } = this.machine;
    this.container = Container.open(kernel);
    const group = this.container.openGroup(0);
    this.container.setIommu(type);
    this.device = group.openDevice(this.address);
    this.device.enableBusMaster();
    this.#memory = kernel.mmap(-1, guestSize, 3, 0x22, 0) as Mapping;
    this.#words = new DataView(this.#memory.memory!);
    this.container.map({ iova: guestStart, address: kernel.addressOf(this.#memory.memory!), size: BigInt(guestSize) });
    this.spaces = new vsva.GuestAddressSpaces(this.container);
  }

  close(): void {
    this.container.close();
    this.#memory.unmap();
  }

  ioctl({ number }: Request, argument: number | Uint8Array, container = this.container): number {
    return container.kernel.ioctl(container.fd, number, argument);
  }

  /** A new PASID from the range, or -errno. */
  allocate(min: number, max: number): number {
    const bytes = pasidRequest(1, { min, max });
    return this.ioctl(vsva.VFIO_IOMMU_PASID_REQUEST, bytes) || (new Uint32Array(bytes.buffer)[4] ?? 0);
  }

  free(pasid: number): number {
    return this.ioctl(vsva.VFIO_IOMMU_PASID_REQUEST, pasidRequest(2, { free: pasid }));
  }

  /** Binds the guest's table, or whatever `change` makes of it. */
  bind(pasid: number, change: (data: BindData) => void = () => {}, { flags = 1, argsz = 80 } = {}): number {
    const bind = vsva.vfio_iommu_type1_bind.create(72);
    bind.argsz = argsz;
    bind.flags = flags;
    const data = vsva.iommu_gpasid_bind_data.view(bind.bytes.buffer, 8);
    data.version = 1;
    data.format = 1;
    data.hpasid = BigInt(pasid);
    data.gpgd = root;
    data.addr_width = 48;
    change(data);
    return this.ioctl(vsva.VFIO_IOMMU_BIND, bind.bytes);
  }

  /** A PASID with the guest's table. */
  bound(change?: (data: BindData) => void): number {
    const pasid = this.allocate(1, 100);
    const result = this.bind(pasid, change);
    if (result !== 0) throw new Error(`VFIO_IOMMU_BIND answered ${result}`);
    return pasid;
  }

  invalidate(cache: number, granularity: number, change: (request: Invalidate) => void = () => {}): number {
    const request = vsva.vfio_iommu_type1_cache_invalidate.create();
    request.argsz = 56;
    request.cache_info.version = 1;
    request.cache_info.cache = cache;
    request.cache_info.granularity = granularity;
    change(request);
    return this.ioctl(vsva.VFIO_IOMMU_CACHE_INVALIDATE, request.bytes);
  }

  /** A 64-bit word of the guest's memory. */
  word(at: bigint): bigint {
    return this.#words.getBigUint64(Number(at - guestStart), true);
  }
  setWord(at: bigint, value: bigint): void {
    this.#words.setBigUint64(Number(at - guestStart), value, true);
  }

  /** Where the entry for `address` lies at `level`; tables that are missing above it are made, with all permissions. */
  entry(address: bigint, level = 1, top = 4): bigint {
    let table = root;
    for (let at = top; at > level; at -= 1) {
      const slot = table + ((address >> BigInt(12 + 9 * (at - 1))) & 0x1ffn) * 8n;
      if ((this.word(slot) & present) === 0n) {
        this.setWord(slot, this.#nextTable | all);
        this.#nextTable += 0x1000n;
      }
      table = this.word(slot) & 0x000f_ffff_ffff_f000n;
    }
    return table + ((address >> BigInt(12 + 9 * (level - 1))) & 0x1ffn) * 8n;
  }

  /** A page of the guest's table. */
  mapPage(address: bigint, to: bigint, bits = all): bigint {
    const slot = this.entry(address);
    this.setWord(slot, to | bits);
    return slot;
  }

  /** The device reads eight bytes with the PASID; undefined where that failed. */
  read(pasid: number, address: bigint, options: { privileged?: boolean; ats?: boolean } = {}): bigint | undefined {
    const bytes = new Uint8Array(8);
    const moved = this.probe.port.read(address, bytes, { pasid, ...options });
    return moved ? new DataView(bytes.buffer).getBigUint64(0, true) : undefined;
  }

  write(pasid: number, address: bigint, value: bigint, options: { privileged?: boolean; ats?: boolean } = {}): boolean {
    return this.probe.port.write(address, new Uint8Array(new BigUint64Array([value]).buffer), { pasid, ...options });
  }

  /** A record, or the channel's error. */
  fault(): Uint8Array | number {
    const bytes = new Uint8Array(64);
    const result = this.machine.faultChannel(this.address).read(bytes);
    return result < 0 ? result : bytes;
  }
}

export function pasidRequest(flags: number, fields: { min?: number; max?: number; free?: number }, argsz = 20): Uint8Array {
  const request = vsva.vfio_iommu_type1_pasid_request.create();
  request.argsz = argsz;
  request.flags = flags;
  request.alloc_pasid.min = fields.min ?? 0;
  request.alloc_pasid.max = fields.max ?? 0;
  if (fields.free !== undefined) request.free_pasid = fields.free;
  return request.bytes;
}
