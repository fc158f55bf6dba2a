import { readOverride } from '../../pci/driver.js';
import type { WithFiles } from '../../pci/sysfs.js';
import { findDevice } from '../../pci/topology.js';
import type { Change } from './plan.js';

/** Something failed in the middle; what was done before was put back, or it says what was not. */
export class RolledBackError extends Error {
  override readonly name = 'RolledBackError';
  /** That of the failure. */
  readonly code: string | undefined;

  constructor(failure: unknown, message: string) {
    super(message, { cause: failure });
    this.code = (failure as NodeJS.ErrnoException | null)?.code;
  }
}

/** Steps to take back, newest first. */
export class Undo {
  readonly #steps: (() => void)[] = [];

  add(step: () => void): void {
    this.#steps.unshift(step);
  }

  /** Takes all back, whatever fails; gives what did. */
  run(): unknown[] {
    return this.#steps.splice(0).flatMap((step) => {
      try {
        step();
        return [];
      } catch (failure) {
        return [failure];
      }
    });
  }
}

/** Does all of it, or puts back what was done. @throws RolledBackError */
export async function allOrNothing<T>(kernel: WithFiles, changes: readonly Change[], act: (undo: Undo) => Promise<T>): Promise<T> {
  const undo = new Undo();
  try {
    return await act(undo);
  } catch (failure) {
    const failures = undo.run();
    const states = changes.map((change) => `\n  ${stateOf(kernel, change)}`).join('');
    const outcome =
      failures.length === 0
        ? 'Everything was put back:'
        : `Putting things back failed, too: ${failures.map(sentence).join('; ')}\nThis is how it is now:`;
    const way = (failure as NodeJS.ErrnoException).code === 'EACCES' ? '. It takes root: sudo vfio …' : '';
    throw new RolledBackError(failure, `${sentence(failure)}${way}\n${outcome}${states}`);
  }
}

function stateOf(kernel: WithFiles, { device, override }: Change): string {
  try {
    const { driver } = findDevice(kernel, device.address);
    const only = readOverride(kernel, device.address);
    const differs = driver !== device.driver || only !== override;
    const was = differs ? `, was ${named(device.driver, override)}` : '';
    return `${device.address}: ${named(driver, only)}${was}`;
  } catch (error) {
    return `${device.address}: ${sentence(error)}`;
  }
}

function named(driver: string | undefined, override: string | undefined): string {
  return `${driver ?? 'no driver'}${override === undefined ? '' : ` (driver_override ${override})`}`;
}

function sentence(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.name === 'AbortError' ? 'Interrupted' : error.message;
}
