import { PCI_HEADER_TYPE } from '../../abi/pci.js';
import { VFIO_PCI_CONFIG_REGION_INDEX } from '../../abi/vfio/region.js';
import type { Mmio } from '../../kernel/kernel.js';
import { Misuse } from '../exit.js';
import { hexValue } from '../hex.js';
import { configName } from './config-names.js';
import type { OpenRegion } from './open.js';
import { hexOffset, type Width } from './place.js';

/** One access of exactly that width. */
export function readRegister(mmio: Mmio, offset: number, width: Width): bigint {
  if (width === 64) return mmio.read64(offset);
  if (width === 32) return BigInt(mmio.read32(offset));
  return BigInt(width === 16 ? mmio.read16(offset) : mmio.read8(offset));
}

export function writeRegister(mmio: Mmio, offset: number, width: Width, value: bigint): void {
  if (width === 64) mmio.write64(offset, value);
  else if (width === 32) mmio.write32(offset, Number(value));
  else if (width === 16) mmio.write16(offset, Number(value));
  else mmio.write8(offset, Number(value));
}

/** Configuration space has no wider accesses than those of 32 bits. @throws Misuse */
export function checkWidth(width: Width, index: number): void {
  if (width === 64 && index === VFIO_PCI_CONFIG_REGION_INDEX)
    throw new Misuse('Expected a width of 8, 16 or 32 bits for config but received 64');
}

/** @throws Misuse for what is not inside the region as a whole */
export function checkInside({ name, size }: OpenRegion, start: number, bytes: number): void {
  if (start + bytes > size)
    throw new Misuse(`Expected an offset with ${bytes} bytes inside the ${size} of ${name} but received ${hexValue(start, 8)}`);
}

/** What a register of the region is called, where that is known. */
export function registerNames({ name, mmio }: OpenRegion): (offset: number, width: Width) => string {
  if (name !== 'config') return () => '';
  const headerType = mmio.read8(PCI_HEADER_TYPE);
  return (offset, width) => configName(offset, width / 8, headerType);
}

/** A register's value as a line's cells. */
export function cells({ size }: OpenRegion, offset: number, width: Width, value: bigint): [offset: string, value: string] {
  return [hexOffset(offset, size), hexValue(value, width)];
}

/** Which region it is and how it was reached, for programs. */
export function describe({ address, name, way }: OpenRegion): { address: string; region: string; way: string } {
  return { address, region: name, way };
}
