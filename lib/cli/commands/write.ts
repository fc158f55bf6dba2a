import { command, type VfioCommand } from '../command.js';
import type { WriteOptions } from '../write.js';
import { paragraphs } from '../paragraphs.js';
import { opening, opensDevice, regionHelp, widthOption } from '../registers/options.js';
import { address } from '../values.js';

export function writeCommand(): VfioCommand {
  return opening(command('write', 'write registers of a device'))
    .description(
      paragraphs(`Writes registers of a device, one access each, the second value behind the first. With --mask, the other bits of a register
are read and written back. Of configuration space, VFIO lets through what cannot hurt the machine, and takes the rest without
an error: --verify tells. With --sysfs nothing is opened or held back.

${opensDevice}`),
    )
    .argument('<address>', 'PCI address of the device', address)
    .argument('<region>', regionHelp)
    .argument('<offset>', 'where, in bytes')
    .argument('<value...>', 'what to write there, and to the registers behind it')
    .addOption(widthOption())
    .option('--mask <bits>', 'the bits of the register to change')
    .option('--verify', 'read back, and fail if another value comes')
    .option('--sysfs', 'configuration space through sysfs')
    .example('vfio write 01:00.0 bar0 0x4 0x12345678 --verify', 'one register of 32 bits, and see that it took it')
    .example('vfio write 01:00.0 config 0x4 0x4 --mask 0x4 --width 16 --sysfs', 'allow the device to be bus master, for whoever has it')
    .runs<WriteOptions>(async (context, options, args) => (await import('../write.js')).write(context, options, args));
}
