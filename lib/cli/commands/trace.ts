import { command, type VfioCommand } from '../command.js';
import type { TraceOptions } from '../trace.js';

export function traceCommand(): VfioCommand {
  return command('trace', 'run a program and show each of its system calls decoded; record them')
    .argument('<command...>', 'the program that uses vfio, and its arguments, behind --')
    .option('--out <file>', 'record all that `vfio replay` needs')
    .option('--quiet', 'show nothing')
    .option('--only <names>', 'show only these calls and requests, with commas between', list)
    .option('--registers', 'show accesses to mapped registers, too')
    .passThroughOptions()
    .example('vfio trace -- node driver.mjs', 'each call with its structs and flags by name, when it was made, and how long it took')
    .example('vfio trace --only VFIO_IOMMU_MAP_DMA,mmap -- npx tsx driver.ts', 'only what maps memory')
    .example('vfio trace --quiet --out drive.ndjson -- node driver.mjs', 'a recording, for `vfio replay`')
    .example('vfio --sim machine.json trace -- node driver.mjs', 'on a simulated machine, without privileges')
    .runs<TraceOptions>(async (context, options, args) => (await import('../trace.js')).trace(context, options, args));
}

function list(text: string): readonly string[] {
  return text.split(',');
}
