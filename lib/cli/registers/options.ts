/** For commander: what the commands that open a device have in common. */
import { Option } from 'commander';
import type { VfioCommand } from '../command.js';
import type { Width } from './place.js';

/** The ways to open a device, as `--by` names them. */
const ways = ['node', 'group', 'compatibility'];

export const opensDevice = `The device is opened through VFIO, and closed at the end. The kernel resets a device whenever it is opened and closed, where it
can be reset alone, and forbids it to be bus master: what one command wrote, the next does not find. A driver that has the
device open keeps everybody else out.`;

/** Adds the options of the commands that open a device. */
export function opening(command: VfioCommand): VfioCommand {
  return command
    .addOption(
      new Option(
        '--by <way>',
        'open it by its own node, its group, or its group with /dev/iommu as container; default: node if there is one',
      ).choices(ways),
    )
    .option('--unsafe-no-iommu', 'open it even if no IOMMU stands between it and all memory of the machine')
    .option('--vf-token <uuid>', 'the token that a virtual function asks for');
}

export const regionHelp = 'config, bar0 to bar5, rom, vga, or the number of a region';

/** Bits of one access: `--width`, 32 by default. */
export function widthOption(): Option {
  const option = new Option('--width <bits>', 'bits of each access: it is one access of exactly this width').choices([
    '8',
    '16',
    '32',
    '64',
  ]);
  const { parseArg } = option;
  return option.default(32).argParser((text) => Number(parseArg?.(text, undefined)) as Width);
}
