import { mkdirSync } from 'node:fs';
import { constants } from 'node:os';
import { resolve } from 'node:path';
import { Command, Option } from 'commander';
import { runInGuest } from './guest.js';
import { variants, type Variant } from './kernel-options.js';
import { prepareKernel, prepareVariants } from './kernel.js';
import { iommuNames, type IommuName } from './machines.js';
import { requireToBoot } from './requirements.js';
import { say } from './steps.js';

interface Options {
  kernel: string;
  variant: Variant;
  iommu: IommuName;
  device: string[];
  kernelArgument: string[];
  memory: string;
  timeout: string;
  bind: boolean;
  output?: string;
  prepare?: boolean;
  printHeaders?: boolean;
  bootLog?: boolean;
}

const collect = (value: string, list: string[]): string[] => [...list, value];

const program = new Command('npm run lab --')
  .description(
    "Runs a command on a real Linux kernel, in QEMU, with an emulated IOMMU and PCI devices, and with this machine's files.\nThe first run of a kernel downloads and builds it, which takes minutes; later ones boot in seconds.",
  )
  .argument('[command...]', 'what to run in the guest; its exit status is the exit status')
  .option('--kernel <version>', 'a version like 6.12, or newest', 'newest')
  .addOption(new Option('--variant <variant>', 'what is special about the kernel').choices([...variants]).default('default'))
  .addOption(new Option('--iommu <kind>', 'the IOMMU').choices([...iommuNames]).default('intel'))
  .option('--device <device>', "a QEMU device with its properties, repeatable; 'none' for none (default: edu)", collect, [])
  .option('--kernel-argument <argument>', 'for the kernel command line, repeatable', collect, [])
  .option('--memory <megabytes>', 'memory of the guest', '2048')
  .option('--timeout <seconds>', 'when to give up', '600')
  .option('--no-bind', 'leave the devices without a driver instead of giving them to vfio-pci')
  .option('--output <folder>', 'a folder the command may write to, at the same path')
  .option('--boot-log', 'show what the kernel prints')
  .option('--prepare', 'build the kernel, in all variants, if it is not there, and nothing else')
  .option('--print-headers', "print the folder of the kernel's headers for user space")
  .passThroughOptions();

async function main(): Promise<number> {
  program.parse();
  const options = program.opts<Options>();
  const command = program.args;
  if (options.prepare === true) await prepareVariants(options.kernel);
  if (options.prepare === true && options.printHeaders !== true) return 0;
  const kernel = await prepareKernel(options.kernel, options.variant);
  if (options.printHeaders === true) {
    process.stdout.write(`${kernel.headers}\n`);
    return 0;
  }
  if (command.length === 0) program.help({ error: true });
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
      memoryMegabytes: positive(options.memory, '--memory'),
      timeoutSeconds: positive(options.timeout, '--timeout'),
      bind: options.bind,
      output,
      bootLog: options.bootLog === true,
    },
    command,
  );
}

function positive(text: string, option: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new Error(`Expected a positive number for ${option} but received '${text}'`);
  return value;
}

// By way of exit, so that what was started is ended and temporary folders are removed.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(128 + constants.signals[signal]));
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(128 + constants.signals.SIGPIPE);
});

try {
  process.exitCode = await main();
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
