/**
 * The differential runs: the same generated system calls on the real kernel and on the simulated one.
 *
 *   npm run differential -- --kernel 6.12 --iommu intel --calls 100000 --seed 1
 *   npm run differential                                    all machines
 *   npm run differential -- --kernel 6.12 --iommu intel --case FILE
 *   npm run differential -- --simulated --kernel 6.12 --iommu intel
 *
 * On the host it boots the lab's guests and runs there, as it does at once in a guest.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { program } from 'commander';
import type { IommuKind, KernelVersion } from '../../lib/sim/index.js';
import { root } from '../support/root.js';
import { realAndSimulated, simulatedTwice, type Kernels } from './kernels.js';
import { caseText, describe, describeFound, run, type CaseFile } from './report.js';
import { replay } from './sequence.js';

interface Options {
  readonly kernel?: string;
  readonly iommu?: string;
  readonly calls: string;
  readonly seed: string;
  readonly most: string;
  readonly case?: string;
  readonly report?: string;
  readonly simulated?: true;
}

program
  .option('--kernel <version>', "'6.12' or 'newest'; default: both")
  .option('--iommu <kind>', "'intel', 'amd', 'virtio' or 'none'; default: all")
  .option('--calls <number>', 'how many calls to compare', '100000')
  .option('--seed <number>', 'what decides which', '1')
  .option('--most <number>', 'how many differences to look for', '1')
  .option('--case <file>', 'run a sequence again')
  .option('--report <file>', 'write the report there too, as JSON')
  .option('--simulated', 'compare two simulated kernels, here');

async function main(): Promise<number> {
  program.parse();
  const options = program.opts<Options>();
  if (process.env['VFIO_LAB_IOMMU'] !== undefined) return compare(realAndSimulated(), options);
  if (options.simulated === true) {
    const version = options.kernel === '6.12' ? '6.12' : '7.3';
    return compare(simulatedTwice(version as KernelVersion, (options.iommu ?? 'intel') as IommuKind), options);
  }
  // Loaded here, since a guest has no use for it.
  const { bundle, bundledProgram } = await import('../support/bundle.js');
  await bundle();
  const inGuest = bundledProgram('differential').split(' ');
  const kernels = options.kernel === undefined ? ['6.12', 'newest'] : [options.kernel];
  const iommus = options.iommu === undefined ? ['intel', 'amd', 'virtio', 'none'] : [options.iommu];
  const failed = kernels.flatMap((kernel) => iommus.filter((iommu) => inLab(kernel, iommu, inGuest, options) !== 0));
  return failed.length === 0 ? 0 : 1;
}

function compare(kernels: Kernels, options: Options): number {
  if (options.case !== undefined) return again(kernels, options.case);
  const started = performance.now();
  const report = run(kernels, {
    seed: Number(options.seed),
    calls: Number(options.calls),
    most: Number(options.most),
    progress: (news) => process.stderr.write(`${news}, ${((performance.now() - started) / 1000).toFixed(0)} s\n`),
  });
  console.log(describe(report));
  console.log(`in ${((performance.now() - started) / 1000).toFixed(0)} s`);
  if (options.report !== undefined)
    writeFileSync(
      options.report,
      JSON.stringify(report, (key, value: unknown) => (key === 'bytes' ? undefined : value)),
    );
  return report.found.length === 0 ? 0 : 1;
}

function again({ name, open }: Kernels, file: string): number {
  const { seed, operations } = JSON.parse(readFileSync(file, 'utf8')) as CaseFile;
  const { difference, answers } = replay(open, operations);
  if (difference === undefined) console.log(`${caseText({ kernels: name, seed, operations, answers })}\nThe kernels agree on ${name}.`);
  else console.log(describeFound(name, { ...difference, operations, answers, seed }));
  return difference === undefined ? 0 : 1;
}

/** Boots the machine, and runs this there. */
function inLab(kernel: string, iommu: string, inGuest: readonly string[], { calls, seed, most, case: file }: Options): number {
  const machine = [
    '--kernel',
    kernel,
    '--iommu',
    iommu,
    '--timeout',
    '3600',
    ...devicesOf(iommu).flatMap((device) => ['--device', device]),
  ];
  const command = [...inGuest, '--calls', calls, '--seed', seed, '--most', most];
  const sequence = file === undefined ? [] : ['--case', resolve(file)];
  const { status } = spawnSync('node', [join(root, 'dist/cli/main.js'), 'lab', ...machine, '--', ...command, ...sequence], {
    cwd: root,
    stdio: 'inherit',
  });
  return status ?? 1;
}

/** An edu and an nvme on the first bus, an e1000e behind a port, and an edu that shares its group with a device of a host driver. */
function devicesOf(iommu: string): string[] {
  const behindPort = ['pcie-root-port,id=express,slot=9,x-speed=5', 'e1000e,bus=express'];
  const nvme = 'nvme,serial=lab';
  // Without an IOMMU edu has physical addresses, which its usual 28 bits do not reach.
  if (iommu === 'none') return [...Array<string>(2).fill('edu,dma_mask=0xffffffffffff'), nvme, ...behindPort];
  // Newer kernels give no device of a virtio-iommu a group when one behind a bridge cannot have one.
  if (iommu === 'virtio') return ['edu', nvme];
  return ['edu', 'pcie-pci-bridge,id=bridge', 'edu,bus=bridge,addr=1', 'virtio-rng-pci,bus=bridge,addr=2', nvme, ...behindPort];
}

process.exitCode = await main();
