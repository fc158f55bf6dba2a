/** Where the kernels may differ: each with a name, and the reason. What is not here is a difference. */
import { IOMMU_IOAS_NOIOMMU_GET_PA } from '../../lib/abi/iommufd/ioas.js';
import type { Operation } from './operation.js';
import type { Outcome } from './side.js';

export interface Exception {
  readonly name: string;
  readonly reason: string;
  readonly allows: (operation: Operation, left: Outcome, right: Outcome) => boolean;
}

export const exceptions: readonly Exception[] = [
  {
    name: 'physical addresses',
    reason: "a process's pages lie where its kernel put them, together or apart",
    allows: (operation, left, right) =>
      operation.call === 'ioctl' &&
      operation.request === IOMMU_IOAS_NOIOMMU_GET_PA.name &&
      left.result === right.result &&
      left.result === '0',
  },
];

/** What is never asked: with a name, and the reason. */
export const leftOut: readonly Pick<Exception, 'name' | 'reason'>[] = [
  { name: 'time', reason: "edu's factorial and its transfers take the time they take: what is read meanwhile is chance" },
  {
    name: 'an eventfd that an interrupt signals and that unmasks it',
    reason: 'both kernels deliver the interrupt again and again until the device takes it back: how often is chance',
  },
  {
    name: 'offsets of IOEVENTFD from 2^63 on',
    reason: 'the kernel takes them for a BAR with a number below 0, and goes on with what lies in front of its tables: anything may follow',
  },
  {
    name: 'INTx that waits when it is enabled',
    reason:
      "QEMU's interrupt controller may lose what a line asserted before Linux set it up: with AMD's IOMMU always, with Intel's at times",
  },
  {
    name: 'mappings of /dev/iommu for neither reading nor writing',
    reason: 'Linux 7.3 takes them and warns in its log at each, and a warning fails a run in the lab',
  },
  {
    name: "registers of nvme and e1000e that move data, wait, or are the host's",
    reason: 'what they answer depends on time, or on what is behind the device: the queues, the network, the MSI-X table by a mapping',
  },
  {
    name: 'the ROM of e1000e',
    reason: "its contents are QEMU's, and the model's are its own",
  },
  {
    name: 'closing a mediated serial card while its state is written',
    reason: 'the driver then looks for the state in a file that is gone, and takes the kernel down',
  },
  {
    name: 'mediated devices on Linux 6.1',
    reason: 'SET_IRQS without data has its driver read at address 0, which takes the kernel down',
  },
  {
    name: 'addresses in a request of another sort of file',
    reason: 'a request of the same number may be there, to which half an address is an fd or flags, and no two kernels share addresses',
  },
  {
    name: "memory that is not the run's own",
    reason: 'what lies behind it is the process: a length is within it, or longer than any process could have',
  },
];
