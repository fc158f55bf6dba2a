/** The mock's operations at the seam, each answered in words: the errno's name, or '0'. */
import { IOMMU_DESTROY, iommu_destroy } from '../../../lib/abi/iommufd/object.js';
import type { Kernel } from '../../../lib/kernel/kernel.js';
import { answer } from '../seam.js';
import * as mock from './abi.js';

type Command = ReturnType<typeof mock.iommu_test_cmd.create>;
/** The members of the command's union. */
type Member = Exclude<keyof Command, 'bytes' | 'size' | 'op' | 'id' | '__reserved' | 'last'>;

/** What a mock device is known by. */
export interface MockDevice {
  /** The selftest's own object: what operations on the device take, and what is destroyed to take it away. */
  readonly selftest: number;
  /** The page table it was attached to. */
  readonly hwpt: number;
  /** What binding a device gives. */
  readonly device: number;
}

export class MockSeam {
  readonly kernel: Kernel;
  readonly fd: number;
  /** The struct of the last operation: what it answered is here. */
  readonly command = mock.iommu_test_cmd.create();

  constructor(kernel: Kernel, fd: number) {
    this.kernel = kernel;
    this.fd = fd;
  }

  /** An operation about object `id`, with the fields of its member of the union. */
  run<M extends Member>(op: number, id: number, member: M, fields: Partial<Command[M]>): string {
    const { command } = this;
    command.bytes.fill(0);
    Object.assign(command, { size: command.bytes.byteLength, op, id });
    Object.assign(command[member], fields);
    return answer(this.kernel.ioctl(this.fd, mock.IOMMU_TEST_CMD.number, command.bytes));
  }

  /** A device attached to an address space or a page table. `dev_flags` makes it MOCK_DOMAIN_FLAGS. Throws the errno's name. */
  device(ptId: number, dev_flags?: number): MockDevice {
    const result =
      dev_flags === undefined
        ? this.run(mock.IOMMU_TEST_OP_MOCK_DOMAIN, ptId, 'mock_domain', {})
        : this.run(mock.IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS, ptId, 'mock_domain_flags', { dev_flags });
    if (result !== '0') throw new Error(`MOCK_DOMAIN: ${result}`);
    const { out_stdev_id, out_hwpt_id, out_idev_id } = this.command.mock_domain;
    return { selftest: out_stdev_id, hwpt: out_hwpt_id, device: out_idev_id };
  }

  /** Attaches a device elsewhere. The page table, or the errno's name. */
  replace(selftest: number, pt_id: number): string {
    const result = this.run(mock.IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, selftest, 'mock_domain_replace', { pt_id });
    return result === '0' ? String(this.command.mock_domain_replace.pt_id) : result;
  }

  /** Takes a device away. */
  destroy({ selftest: id }: MockDevice): string {
    const request = iommu_destroy.create();
    Object.assign(request, { size: iommu_destroy.size, id });
    return answer(this.kernel.ioctl(this.fd, IOMMU_DESTROY.number, request.bytes));
  }
}
