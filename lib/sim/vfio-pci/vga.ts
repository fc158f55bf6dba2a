/** What displays answer from of old, at addresses that no BAR places: vfio_pci_vga_rw. */
import { errno } from '../../abi/errno.js';
import { loadBytes, storeBytes } from '../mapping.js';
import type { PciFunction } from '../pci/function.js';
import type { KernelProfile } from '../profile.js';
import { transfer, type Access } from './region-access.js';

/** Bytes of the region: up to the end of the memory among the ranges. */
export const vgaSize = 0xc_0000;

const vgaClass = 0x0300;
const ranges = [
  { start: 0xa_0000, end: vgaSize, ports: false },
  { start: 0x3b0, end: 0x3bc, ports: true },
  { start: 0x3c0, end: 0x3e0, ports: true },
];

export class Vga {
  readonly #hardware: PciFunction;
  readonly #kernel: KernelProfile;

  constructor(hardware: PciFunction, kernel: KernelProfile) {
    this.#hardware = hardware;
    this.#kernel = kernel;
  }

  /** Only displays have the region. */
  get exists(): boolean {
    return this.#hardware.identity.classCode >>> 8 === vgaClass;
  }

  read(bytes: Uint8Array, at: number): number {
    return this.#transfer(bytes, at, (width, address, part) => {
      if (width !== undefined) storeBytes(part, 0, width, this.#hardware.busReadVga(address, width));
    });
  }

  write(bytes: Uint8Array, at: number): number {
    return this.#transfer(bytes, at, (width, address, part) => {
      if (width !== undefined) this.#hardware.busWriteVga(address, width, loadBytes(part, 0, width));
    });
  }

  /** The kernel does not look whether memory is decoded: it hopes that nothing breaks where it is not. */
  #transfer(bytes: Uint8Array, at: number, access: Access): number {
    const range = ranges.find(({ start, end }) => at >= start && at < end);
    this.#hardware.clock.poll();
    if (!this.exists || range === undefined) return -errno.EINVAL;
    return transfer(bytes, at, { size: range.end, widest: range.ports ? 4 : this.#kernel.widestVgaAccess, answers: () => true }, access);
  }
}
