import { command, type VfioCommand } from '../command.js';
import type { ResetOptions } from '../reset.js';
import { paragraphs } from '../paragraphs.js';
import { opening, opensDevice } from '../registers/options.js';
import { address } from '../values.js';

export function resetCommand(): VfioCommand {
  return opening(command('reset', 'reset a device, or its bus'))
    .description(
      paragraphs(`
Resets a device by the first way that the kernel has for it, as the file reset_method in sysfs lists them, and sees that it
answers afterwards. With --bus, resets the bus that the device is on, with everything on it; unless VFIO has all of those, it is
refused, and nothing is done.

${opensDevice}`),
    )
    .argument('<address>', 'PCI address of the device', address)
    .option('--bus', 'the whole bus that the device is on')
    .option('--dry-run', 'only say what would be reset, and how')
    .example('vfio reset 01:00.0', 'the device alone')
    .example('vfio reset 01:00.0 --bus --dry-run', 'see what a reset of its bus takes along')
    .runs<ResetOptions>(async (context, options, args) => (await import('../reset.js')).reset(context, options, args));
}
