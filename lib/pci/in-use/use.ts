import type { Evidence } from '../evidence.js';

/** Something that a device does for the machine, which would end with its driver. */
export interface Use {
  readonly kind: 'mounted' | 'swap' | 'holder' | 'route' | 'address' | 'member' | 'session' | 'console' | 'virtual-functions' | 'open';
  /** A sentence without its full stop: '/dev/nvme0n1p1 is mounted on /home'. */
  readonly says: string;
  readonly evidence: readonly Evidence[];
}
