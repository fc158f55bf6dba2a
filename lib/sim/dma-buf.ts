import { errno } from '../abi/errno.js';
import { OpenFile } from './open-file.js';
import type { Pin } from './user-memory.js';

/** Memory of a device as a file, that drivers pass around: a dma-buf. */
export abstract class DmaBufFile extends OpenFile {
  /** Bytes. */
  abstract readonly size: number;

  /**
   * Gives /dev/iommu the memory itself, as only who has agreed on it with iommufd does: or -errno. `revoked` is called when
   * the memory must not be reached any more; what is given never comes back then.
   */
  give(_revoked: () => void): Pin | number {
    return -errno.EOPNOTSUPP;
  }
}
