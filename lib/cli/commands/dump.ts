import { command, type VfioCommand } from '../command.js';
import type { DumpOptions } from '../dump.js';
import { paragraphs } from '../paragraphs.js';
import { opening, opensDevice, regionHelp, widthOption } from '../registers/options.js';
import { address } from '../values.js';

export function dumpCommand(): VfioCommand {
  return opening(command('dump', 'print or save a region of a device'))
    .description(
      paragraphs(`Reads a region of a device, or a part of it, in ascending order, and prints its bytes or saves them. Reading a register may
have effects; a dump reads all of them.

${opensDevice}`),
    )
    .argument('<address>', 'PCI address of the device', address)
    .argument('<region>', regionHelp)
    .argument('[offset]', 'where to begin, in bytes, or a range: 0x10..0x40, which ends before 0x40, or 0x10+0x30')
    .argument('[length]', 'bytes; default: to the end of the region')
    .addOption(widthOption())
    .option('--out <file>', 'save the bytes there, as they are')
    .option('--sysfs', 'configuration space through sysfs, even where VFIO has the device')
    .example('vfio dump 01:00.0 config', 'configuration space, in hexadecimal')
    .example('vfio dump 01:00.0 bar0 0x1000 256', '256 bytes of the first BAR')
    .example('vfio dump 01:00.0 rom --out card.rom', "the device's ROM, in a file")
    .runs<DumpOptions>(async (context, options, args) => (await import('../dump.js')).dump(context, options, args));
}
