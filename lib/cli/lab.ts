import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { runInGuest } from '../lab/guest.js';
import type { Variant } from '../lab/kernel-options.js';
import { builtKernels, prepareKernel, prepareVariants } from '../lab/kernel.js';
import type { IommuName } from '../lab/machines.js';
import { requireToBoot } from '../lab/requirements.js';
import { columns } from './columns.js';
import type { CommonOptions, Context } from './context.js';
import { Misuse, ok } from './exit.js';

export interface LabOptions extends CommonOptions {
  readonly kernel: string;
  readonly variant: Variant;
  readonly iommu: IommuName;
  readonly device: readonly string[];
  readonly kernelArgument: readonly string[];
  readonly memory: number;
  readonly timeout: number;
  readonly bind: boolean;
  readonly hostDrivers?: true;
  readonly output?: string;
  readonly list?: true;
  readonly prepare?: true;
  readonly printHeaders?: true;
  readonly bootLog?: true;
}

export async function lab(context: Context, options: LabOptions, command: string[]): Promise<number> {
  if (context.simulated !== undefined) throw new Misuse('The lab has real kernels: --sim is not for it');
  if (options.list === true) return list(context);
  const alone = options.prepare === true || options.printHeaders === true;
  if (command.length === 0 && !alone) throw new Misuse('Expected a command for the guest: vfio lab -- COMMAND');
  // By way of exit, at which what was started is ended and temporary folders are removed; the status is set already.
  context.signal.addEventListener('abort', () => process.exit(), { once: true });
  if (options.prepare === true) await prepareVariants(options.kernel);
  if (options.prepare === true && options.printHeaders !== true) return ok;
  const kernel = await prepareKernel(options.kernel, options.variant);
  if (options.printHeaders === true) {
    context.result({ headers: kernel.headers }, () => kernel.headers);
    return ok;
  }
  requireToBoot();
  const devices = options.device.length === 0 ? ['edu'] : options.device.filter((device) => device !== 'none');
  const output = options.output === undefined ? undefined : resolve(options.output);
  if (output !== undefined) mkdirSync(output, { recursive: true });
  return runInGuest(
    {
      kernel,
      iommu: options.iommu,
      devices,
      kernelArguments: options.kernelArgument,
      memoryMegabytes: options.memory,
      timeoutSeconds: options.timeout,
      bind: options.bind,
      hostDrivers: options.hostDrivers === true,
      output,
      bootLog: options.bootLog === true,
    },
    command,
  );
}

function list(context: Context): number {
  const kernels = builtKernels();
  context.result(kernels, () =>
    kernels.length === 0
      ? 'No kernel is built yet; the first run of one builds it'
      : columns(kernels.map(({ version, variant, image }) => [`Linux ${version}`, variant, image])),
  );
  return ok;
}
