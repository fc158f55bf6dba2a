import { errno as errors, type ErrorCode } from '../abi/errno.js';
import type { Request } from '../abi/ioctl.js';
import { aroundKernel, type Answer, type KernelCall } from './around.js';
import { checkedInteger, expected } from './error.js';
import { fdsGiven } from './file-kinds.js';
import type { Kernel } from './kernel.js';

/** Unmapping memory and no longer watching cannot fail. */
export type FailingCall = KernelCall & { readonly name: Exclude<KernelCall['name'], 'munmap' | 'unwatch'> };

export interface Failure {
  /**
   * The calls that fail: an ioctl by its declaration, as `VFIO_IOMMU_MAP_DMA` of `vfio/abi`; any other by the name it has in
   * `Kernel` and `Files`; or those that a function chooses.
   */
  readonly on: Request | FailingCall['name'] | ((call: FailingCall) => boolean);
  /** What they answer. */
  readonly errno: ErrorCode;
  /** Only the n-th of them from now on fails; 1 is the next. Default: all. */
  readonly nth?: number;
  /**
   * The call is made all the same, and its answer is lost: as when close(2) tells of an error of writing, or a device did
   * what a signal then interrupted. What it opened or mapped is undone. Default: false.
   */
  readonly made?: boolean;
}

/**
 * A kernel that answers as `kernel` does, but for the calls that are to fail. Failures stack:
 * `fail(fail(kernel, first), second)`. What cannot fail, unmapping and the end of a watch, does not.
 */
export function fail(kernel: Kernel, { on, errno, nth, made = false }: Failure): Kernel {
  if (!Object.hasOwn(errors, errno)) throw expected('the name of an error', 'errno', errno);
  if (nth !== undefined && checkedInteger('nth', nth) === 0) throw expected('an integer from 1', 'nth', nth);
  const chosen = chooser(on);
  let met = 0;
  return aroundKernel(kernel, (call) => {
    if (!canFail(call) || !chosen(call)) return undefined;
    met += 1;
    if (nth !== undefined && met !== nth) return undefined;
    if (!made) return -errors[errno];
    return (answer) => {
      undo(kernel, call, answer);
      return -errors[errno];
    };
  });
}

function canFail(call: KernelCall): call is FailingCall {
  return call.name !== 'munmap' && call.name !== 'unwatch';
}

function chooser(on: Failure['on']): (call: FailingCall) => boolean {
  if (typeof on === 'function') return on;
  if (typeof on === 'string') return ({ name }) => name === on;
  return ({ request }) => request?.name === on.name;
}

/** Takes back what nobody will hear of. */
function undo(kernel: Kernel, { name, request, argument }: KernelCall, answer: Answer): void {
  if (typeof answer === 'object') {
    if ('unmap' in answer) answer.unmap();
    if ('stop' in answer) answer.stop();
  }
  if (typeof answer !== 'number' || answer < 0) return;
  if (name === 'open' || name === 'memfd' || name === 'eventfd') kernel.close(answer);
  if (request !== undefined) for (const { fd } of fdsGiven(request, argument, answer)) kernel.close(fd);
}
