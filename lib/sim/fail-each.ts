import type { ErrorCode } from '../abi/errno.js';
import { audit } from '../kernel/audit.js';
import { describeCall } from '../kernel/call-text.js';
import { expected } from '../kernel/error.js';
import { fail, type FailingCall } from '../kernel/fail.js';
import type { Kernel } from '../kernel/kernel.js';
import { crashOf, Watchdog } from './fail-each-watchdog.js';
import type { Machine } from './machine.js';

export interface FailEachOptions {
  /** Makes the machine anew for each run. */
  readonly machine: () => Machine;
  /** What is tried: it opens what it needs of `kernel` and lets go of it, whatever happens. */
  readonly driver: (kernel: Kernel, machine: Machine) => unknown;
  /** Which calls are to fail, one after the other. Default: all that can. */
  readonly calls?: (call: FailingCall) => boolean;
  /** What a call answers when it fails. Default: what Linux may well answer to such a call, see `plausibleError`. */
  readonly errno?: (call: FailingCall) => ErrorCode;
  /** A run that takes longer hangs. Default: 2000. */
  readonly timeLimitMilliseconds?: number;
}

/** One thing that went wrong when one call failed. */
export interface FailEachProblem {
  readonly what: 'leak' | 'crash' | 'hang';
  /** The call that failed, as `trace` says it; 'nothing' in the run without a failure. */
  readonly call: string;
  readonly errno: ErrorCode | undefined;
  /** What it is, in a sentence; for a leak and a crash with the place in the program. */
  readonly text: string;
}

/** One call that failed, and what the driver made of it. */
export interface FailEachRun {
  readonly call: string;
  readonly errno: ErrorCode;
  /** What the driver threw; undefined where it went on as if nothing had been, or hangs. */
  readonly error: unknown;
}

export interface FailEachReport {
  /** As many as there are calls. */
  readonly runs: readonly FailEachRun[];
  /** Empty where all is well. */
  readonly problems: readonly FailEachProblem[];
  /** The runs in which the driver did all the same what it was to do: it may know another way, or not have looked. */
  readonly swallowed: readonly FailEachRun[];
}

const errorsOfCalls: Readonly<Record<FailingCall['name'], ErrorCode>> = {
  ...{ open: 'EMFILE', memfd: 'EMFILE', eventfd: 'EMFILE', mmap: 'ENOMEM', madvise: 'ENOMEM', watch: 'ENOSPC' },
  ...{ ioctl: 'ENOMEM', close: 'EIO', read: 'EIO', write: 'EIO', pread: 'EIO', pwrite: 'EIO' },
  ...{ readFile: 'EACCES', writeFile: 'EACCES', readdir: 'EACCES', readlink: 'EACCES', access: 'EACCES' },
  ...{ stat: 'EACCES', chmod: 'EPERM', chown: 'EPERM' },
};

const errorsOfRequests: Readonly<Record<string, ErrorCode>> = {
  VFIO_GROUP_SET_CONTAINER: 'EBUSY',
  VFIO_GROUP_GET_DEVICE_FD: 'EBUSY',
  VFIO_DEVICE_BIND_IOMMUFD: 'EBUSY',
  VFIO_DEVICE_ATTACH_IOMMUFD_PT: 'EINVAL',
  VFIO_DEVICE_SET_IRQS: 'ENOSPC',
  VFIO_DEVICE_FEATURE: 'ENOTTY',
  VFIO_DEVICE_RESET: 'EAGAIN',
  VFIO_DEVICE_PCI_HOT_RESET: 'EAGAIN',
  VFIO_IOMMU_UNMAP_DMA: 'EINVAL',
  IOMMU_IOAS_UNMAP: 'ENOENT',
  IOMMU_DESTROY: 'EBUSY',
};

function plausibleError(call: FailingCall): ErrorCode {
  return errorsOfRequests[call.request?.name ?? ''] ?? errorsOfCalls[call.name];
}

/**
 * Runs a driver once for each system call it makes, on a new machine each time, with that one call failing; close(2) closes all
 * the same. Says what the driver left behind (fds, mappings, watches, IOVAs, timers), where it crashed (an error that is the
 * program's own, as a TypeError; a rejection or exception that nobody caught), where it hangs, and which failures it did not
 * mind. The first run is without a failure; what that one throws, `failEach` throws.
 *
 * While it runs, exceptions that nobody catches are its own: await it before anything else is done.
 */
export async function failEach(options: FailEachOptions): Promise<FailEachReport> {
  const { calls = () => true, errno = plausibleError, timeLimitMilliseconds = 2000 } = options;
  if (!(timeLimitMilliseconds > 0)) throw expected('a number above 0', 'timeLimitMilliseconds', timeLimitMilliseconds);
  const made: { call: FailingCall; text: string }[] = [];
  const first = await run(options, timeLimitMilliseconds, (kernel) =>
    fail(kernel, {
      on: (call) => {
        if (calls(call)) made.push({ call, text: describeCall(call) });
        return false;
      },
      errno: 'EIO',
    }),
  );
  if (first.error !== undefined) throw first.error;
  if (first.hangs) throw new Error(`The driver did not end within ${timeLimitMilliseconds} ms, with nothing failing`);
  const problems: FailEachProblem[] = first.problems.map((problem) => ({ ...problem, call: 'nothing', errno: undefined }));
  const runs: FailEachRun[] = [];
  const swallowed: FailEachRun[] = [];
  for (const [index, { call, text }] of made.entries()) {
    const code = errno(call);
    let met = 0;
    const {
      error,
      hangs,
      problems: found,
    } = await run(options, timeLimitMilliseconds, (kernel) =>
      fail(kernel, {
        on(now) {
          if (!calls(now)) return false;
          met += 1;
          if (met > mostRounds * made.length + mostCalls) throw new RunawayError(`The driver makes call after call: ${describeCall(now)}`);
          return met === index + 1;
        },
        errno: code,
        made: call.name === 'close',
      }),
    );
    const outcome: FailEachRun = { call: text, errno: code, error };
    runs.push(outcome);
    problems.push(...found.map((problem) => ({ ...problem, call: text, errno: code })));
    if (error === undefined && !hangs && met > index) swallowed.push(outcome);
  }
  return { runs, problems, swallowed };
}

/** A driver that makes that many times the calls it makes when nothing fails goes round in circles. */
const mostRounds = 20;
const mostCalls = 1000;

class RunawayError extends Error {}

type Found = Pick<FailEachProblem, 'what' | 'text'>;

async function run(
  { machine: make, driver }: FailEachOptions,
  timeLimit: number,
  failing: (kernel: Kernel) => Kernel,
): Promise<{ error: unknown; hangs: boolean; problems: readonly Found[] }> {
  const machine = make();
  const kernel = audit(failing(machine.kernel));
  const watchdog = new Watchdog();
  const { ended, error } = await watchdog.watch(timeLimit, () => driver(kernel, machine));
  const problems: Found[] = [];
  const crash = error === undefined ? undefined : crashOf(error);
  if (error instanceof RunawayError) problems.push({ what: 'hang', text: error.message });
  else if (crash !== undefined) problems.push({ what: 'crash', text: crash });
  const { uncaught, handles } = await watchdog.end();
  for (const text of uncaught) problems.push({ what: 'crash', text: `Nobody caught: ${text}` });
  if (!ended) return { error, hangs: true, problems: [...problems, { what: 'hang', text: `It did not end within ${timeLimit} ms` }] };
  for (const { what, call, stack } of kernel.held()) problems.push({ what: 'leak', text: `${what} of ${call}\n${stack}` });
  for (const text of handles) problems.push({ what: 'leak', text });
  return { error, hangs: false, problems };
}
