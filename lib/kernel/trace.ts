import { aroundKernel, type Answer, type KernelCall } from './around.js';
import { describeCall } from './call-text.js';
import { now } from './clock.js';
import type { Kernel } from './kernel.js';

/** A call that was made, what it was given and what came back. */
export interface TracedCall extends KernelCall {
  /** The memory an ioctl's argument points to, as it was before the call. */
  readonly before?: Uint8Array;
  /** The same after the call, and what was read: a copy, as `before` is. */
  readonly after?: Uint8Array;
  /** `>= 0`, or -errno. 0 for a mapping or a watch; for a file of sysfs how many bytes or names came. */
  readonly result: number;
  /** When it began, by `performance.now()`, and how long it took; milliseconds. */
  readonly began: number;
  readonly milliseconds: number;
  /** All of it in one line, as strace(1) would say it: 'ioctl(5, VFIO_IOMMU_MAP_DMA, {argsz=32, flags=READ|WRITE, …}) = -1 EINVAL'. */
  readonly text: string;
}

/**
 * A kernel that makes every call on `kernel`, and then reports it. Without `report`, a line for each goes to standard error.
 * Register accesses are not calls of a kernel and not reported; calls that throw, because they were misuse, neither.
 */
export function trace(kernel: Kernel, report: (call: TracedCall) => void = ({ text }) => console.error(text)): Kernel {
  return aroundKernel(kernel, (call) => {
    const before = typeof call.argument === 'object' ? { before: call.argument.slice() } : {};
    const began = now();
    return (answer) => {
      const milliseconds = now() - began;
      const result = size(answer);
      const after = moved(call, result);
      report({
        ...call,
        ...before,
        ...(after && { after }),
        result,
        began,
        milliseconds,
        get text() {
          return describeCall(this);
        },
      });
      return undefined;
    };
  });
}

function size(answer: Answer): number {
  if (typeof answer === 'number') return answer;
  if (answer instanceof Uint8Array) return answer.byteLength;
  return typeof answer === 'string' || Array.isArray(answer) ? answer.length : 0;
}

/** A copy of what the call left in the caller's memory. */
function moved({ name, argument, bytes }: KernelCall, result: number): Uint8Array | undefined {
  if (typeof argument === 'object') return argument.slice();
  return (name === 'read' || name === 'pread') && result >= 0 ? bytes?.slice(0, result) : undefined;
}
