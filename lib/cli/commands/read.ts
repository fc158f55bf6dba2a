import { command, type VfioCommand } from '../command.js';
import type { ReadOptions } from '../read.js';
import { paragraphs } from '../paragraphs.js';
import { opening, opensDevice, regionHelp, widthOption } from '../registers/options.js';
import { address, number, seconds } from '../values.js';

export function readCommand(): VfioCommand {
  return opening(command('read', 'read registers of a device'))
    .description(
      paragraphs(`Reads registers of a device: one access each, through a mapping where the kernel allows one, and otherwise through the file.
Configuration space of a device that VFIO does not have is read from sysfs, where nothing is opened and reset.

${opensDevice}`),
    )
    .argument('<address>', 'PCI address of the device', address)
    .argument('<region>', regionHelp)
    .argument('<offset>', 'where, in bytes, or a range: 0x10..0x40, which ends before 0x40, or 0x10+0x30')
    .addOption(widthOption())
    .option('--count <number>', 'registers side by side', number)
    .option('--watch [milliseconds]', 'look again and again, and print what changed (default: every 100 ms)', number)
    .option('--for <seconds>', 'how long to watch; default: until Ctrl-C', seconds)
    .option('--sysfs', 'configuration space through sysfs, even where VFIO has the device')
    .example('vfio read 01:00.0 bar0 0x8', 'one register of 32 bits')
    .example('vfio read 01:00.0 bar0 0x0..0x40 --width 64', 'eight registers of 64 bits')
    .example('vfio read 01:00.0 config 0x4 --width 16', 'the command register')
    .example('vfio read 01:00.0 bar0 0x8 --watch 10 --for 5', 'print what the register changes to, for five seconds')
    .runs<ReadOptions>(async (context, options, args) => (await import('../read.js')).read(context, options, args));
}
