import { PCI_STD_HEADER_SIZEOF } from '../../abi/pci.js';
import type { FileNode } from '../file-node.js';
import { OpenFile } from '../open-file.js';
import type { PciFunction } from '../pci/function.js';
import type { Process } from '../process.js';

/** /sys/bus/pci/devices/ADDRESS/config: configuration space as the bus has it, past every driver. Who is not root sees the header alone. */
export function configFile(hardware: PciFunction, process: Process): FileNode {
  const open = (): OpenFile => new ConfigFile(hardware, process.user === 0 ? hardware.configSize : PCI_STD_HEADER_SIZEOF);
  return {
    kind: 'file',
    read: () => {
      const bytes = new Uint8Array(hardware.configSize);
      return bytes.slice(0, open().pread(bytes, 0));
    },
    open,
  };
}

class ConfigFile extends OpenFile {
  readonly #hardware: PciFunction;
  readonly #size: number;

  constructor(hardware: PciFunction, size: number) {
    super();
    this.#hardware = hardware;
    this.#size = size;
  }

  override pread(bytes: Uint8Array, offset: number): number {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    return this.#each(bytes, offset, (at, width, index) => {
      const value = this.#hardware.readConfig(at, width);
      if (width === 1) view.setUint8(index, value);
      else if (width === 2) view.setUint16(index, value, true);
      else view.setUint32(index, value, true);
    });
  }

  override pwrite(bytes: Uint8Array, offset: number): number {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    return this.#each(bytes, offset, (at, width, index) => {
      const value = width === 1 ? view.getUint8(index) : width === 2 ? view.getUint16(index, true) : view.getUint32(index, true);
      this.#hardware.writeConfig(at, width, value);
    });
  }

  /** As the kernel cuts it: each access the widest that is aligned and not longer than what is left. */
  #each(bytes: Uint8Array, offset: number, access: (at: number, width: 1 | 2 | 4, index: number) => void): number {
    const count = Math.max(0, Math.min(bytes.byteLength, this.#size - offset));
    for (let index = 0; index < count; ) {
      const at = offset + index;
      const width = ([4, 2] as const).find((candidate) => at % candidate === 0 && count - index >= candidate) ?? 1;
      access(at, width, index);
      index += width;
    }
    return count;
  }
}
