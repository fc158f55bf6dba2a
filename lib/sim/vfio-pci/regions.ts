import { PCI_CFG_SPACE_SIZE } from '../../abi/pci.js';

/** Region INDEX begins at `INDEX << 40` of the device fd. */
export const regionSpan = 2 ** 40;

/** The size of configuration space of a conventional PCI device. */
export const configSize = PCI_CFG_SPACE_SIZE;

export function locate(offset: number): { index: number; at: number } {
  return { index: Math.floor(offset / regionSpan), at: offset % regionSpan };
}
