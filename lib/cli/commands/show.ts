import { command, type VfioCommand } from '../command.js';
import type { CommonOptions } from '../context.js';
import type { ShowOptions } from '../show.js';
import { address } from '../values.js';

export function showCommand(): VfioCommand {
  return command('show', 'show everything about a device')
    .argument('<address>', 'the device', address)
    .option('--open', 'open it, which resets it, and show what VFIO says of it')
    .option('--hex', 'show the bytes of its configuration space')
    .option('--save <file>', 'save those bytes, in a form that lspci -F reads')
    .option('--diff <file>', 'show what is otherwise than in a file of --save; the status is 1 if something is')
    .example('vfio show 01:00.0', 'what it is, its group and why, its BARs, and its configuration space decoded')
    .example('vfio show 01:00.0 --open', 'regions, interrupts, features and IOVAs too, which VFIO tells who opens it')
    .example('vfio show 01:00.0 --save before.txt', 'keep what its configuration space is now')
    .example('vfio show 01:00.0 --diff before.txt', 'what of it has changed since')
    .runs<CommonOptions & ShowOptions>(async (context, options, [wanted = '']) =>
      (await import('../show.js')).show(context, options, wanted),
    );
}
