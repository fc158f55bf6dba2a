import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { requests } from '../abi/requests.js';
import type { KernelCall } from '../kernel/around.js';
import type { Mmio } from '../kernel/kernel.js';
import { withTemporaryFolder } from '../lab/temporary.js';
import type { CommonOptions, Context } from './context.js';
import * as exit from './exit.js';
import { Misuse } from './exit.js';
import { anyPartTaken } from './instrument/parts.js';
import { messageOf } from './message.js';
import { launch } from './launch.js';

export interface TraceOptions extends CommonOptions {
  readonly out?: string;
  readonly quiet?: true;
  readonly registers?: true;
  readonly only?: readonly string[];
}

const callNames = [
  ...['open', 'close', 'ioctl', 'read', 'write', 'pread', 'pwrite', 'mmap', 'munmap', 'madvise', 'memfd', 'eventfd', 'watch', 'unwatch'],
  ...['readFile', 'writeFile', 'readdir', 'readlink', 'access', 'stat', 'chmod', 'chown'],
] as readonly KernelCall['name'][];
const accessNames = [
  ...[8, 16, 32, 64].flatMap((bits) => [`read${bits}`, `write${bits}`, `poll${bits}`]),
  ...['readRange', 'writeList'],
] as readonly (keyof Mmio)[];

/** Runs the program, shows its calls and records them; gives its status. */
export async function trace(context: Context, options: TraceOptions, command: readonly string[]): Promise<number> {
  const { out, quiet = false, registers = false, only } = options;
  const known = new Set<string>([...callNames, ...accessNames, ...requests.map(({ name }) => name)]);
  const unknown = only?.find((name) => !known.has(name));
  if (unknown !== undefined) throw new Misuse(`--only ${unknown}: expected a call, like pread, or a request, like VFIO_IOMMU_MAP_DMA`);
  // What is wrong with it is better said before anything runs.
  if (context.simulated !== undefined) await context.kernel();
  if (out !== undefined) begin(out);
  return withTemporaryFolder(join(tmpdir(), 'vfio-'), async (folder) => {
    const status = await launch(context, command, {
      mode: 'trace',
      folder,
      start: Date.now(),
      quiet,
      json: context.json,
      registers,
      ...(only && { only }),
      ...(out !== undefined && { out: resolve(out) }),
      ...(context.simulated !== undefined && { sim: resolve(context.simulated) }),
    });
    const ran = status !== exit.notFound && status !== exit.notRunnable;
    if (ran && !anyPartTaken(folder))
      context.terminal.note('vfio: nothing asked native() for a kernel: the program has a simulated one, or none\n');
    return status;
  });
}

function begin(out: string): void {
  try {
    writeFileSync(out, '');
  } catch (error) {
    throw new Misuse(`--out ${out}: ${messageOf(error)}`);
  }
}
