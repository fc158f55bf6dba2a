import type { BindOptions } from '../bind/bind.js';
import { command, type VfioCommand } from '../command.js';
import type { CommonOptions } from '../context.js';
import { addresses } from '../values.js';

export function bindCommand(): VfioCommand {
  return command('bind', 'give devices to vfio-pci, all or none of them')
    .argument('<address...>', 'the devices, like 0000:01:00.0', addresses)
    .option('--driver <name>', 'another driver, like mlx5_vfio_pci', 'vfio-pci')
    .option('--group', 'and all others of their IOMMU groups that the host drives')
    .option('--owner <user[:group]>', 'who may open them then, besides root')
    .option('--persistent', 'also at the next boot: writes a rule for udev, which it shows first')
    .option('--root <folder>', 'write the files of --persistent below this folder, as for an image')
    .option('--dry-run', 'say what would be done, and what is against it')
    .option('--force <address>', 'although this device is in use; repeatable', addresses)
    .example('vfio bind 01:00.0 --dry-run', 'what would be done with one device')
    .example('sudo vfio bind 01:00.0 --group --owner $USER', 'have it, with all that shares its group, for a program without privileges')
    .example('sudo vfio bind 01:00.0 01:00.1 --persistent', 'two, from now on')
    .example('sudo vfio bind 02:00.0 --force 02:00.0', 'one that the machine uses')
    .runs<CommonOptions & BindOptions>(async (context, options, names) => (await import('../bind/bind.js')).bind(context, options, names));
}
