import { PCI_CFG_SPACE_EXP_SIZE, PCI_CFG_SPACE_SIZE, PCI_STD_HEADER_SIZEOF } from '../abi/pci.js';
import { CodedError, KernelError } from '../kernel/error.js';
import type { WithFiles } from './sysfs.js';
import { devicesPath } from './topology.js';

const sizes = [PCI_CFG_SPACE_EXP_SIZE, PCI_CFG_SPACE_SIZE, PCI_STD_HEADER_SIZEOF];

/**
 * A device's configuration space as sysfs gives it: 4096 bytes of PCI Express, 256 of PCI, and to those who are not root the
 * first 64. It can be read whoever has the device.
 * @throws KernelError; an Error with code ERR_VFIO_BAD_ANSWER for a file of another size.
 */
export function readConfigFile({ files }: WithFiles, address: string): Uint8Array {
  const path = `${devicesPath}/${address}/config`;
  const bytes = files.readFile(path);
  if (typeof bytes === 'number') throw new KernelError(bytes, { syscall: 'read', path });
  if (!sizes.includes(bytes.byteLength))
    throw new CodedError('ERR_VFIO_BAD_ANSWER', `${path} has ${bytes.byteLength} bytes, and not ${sizes.join(', ')}`);
  return bytes;
}
