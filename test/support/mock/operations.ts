/** IOMMU_TEST_CMD of a simulated kernel: one request, and an operation for each number in it. */
import { errno } from '../../../lib/abi/errno.js';
import { operation, type Caller, type Context, type Operation } from '../../../lib/sim/iommufd/operation.js';
import { IOMMU_TEST_CMD, iommu_test_cmd } from './abi.js';

export type Command = ReturnType<typeof iommu_test_cmd.create>;

/** What one value of `op` does. Its result is 0 or more, or -errno. */
export interface MockOperation {
  readonly op: number;
  /** It came after Linux 6.12. */
  readonly newer?: true;
  run(context: Context, command: Command, caller: Caller): number;
}

/** The request, as a kernel that has these operations answers it. */
export function testCommand(operations: readonly MockOperation[]): Operation {
  return operation(IOMMU_TEST_CMD, iommu_test_cmd, (context, command, caller) => {
    const found = operations.find(({ op }) => op === command.op);
    if (found === undefined || (found.newer === true && context.platform.kernel.version !== '7.3')) return -errno.EOPNOTSUPP;
    return found.run(context, command, caller);
  });
}
