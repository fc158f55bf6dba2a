import type { UnbindOptions } from '../bind/unbind.js';
import { command, type VfioCommand } from '../command.js';
import type { CommonOptions } from '../context.js';
import { addresses } from '../values.js';

export function unbindCommand(): VfioCommand {
  return command('unbind', 'give devices back to the drivers they had, all or none of them')
    .argument('<address...>', 'the devices, like 0000:01:00.0', addresses)
    .option('--driver <name>', 'to this driver instead')
    .option('--none', 'to no driver')
    .option('--group', 'and all others of their IOMMU groups that VFIO has')
    .option('--persistent', "also remove the rule that 'vfio bind --persistent' wrote")
    .option('--root <folder>', 'look for the files of --persistent below this folder')
    .option('--dry-run', 'say what would be done, and what is against it')
    .option('--force <address>', 'although this device is in use; repeatable', addresses)
    .example('sudo vfio unbind 01:00.0', 'to the driver it had before vfio bind, or the one that the kernel picks')
    .example('sudo vfio unbind 01:00.0 --group --persistent', 'with all of its group, for good')
    .example('sudo vfio unbind 01:00.0 --driver igb', 'to a driver of your choice')
    .runs<CommonOptions & UnbindOptions>(async (context, options, names) =>
      (await import('../bind/unbind.js')).unbind(context, options, names),
    );
}
