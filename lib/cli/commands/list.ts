import { command, type VfioCommand } from '../command.js';
import type { CommonOptions } from '../context.js';
import type { ListOptions } from '../list.js';
import { addresses, number } from '../values.js';

export function listCommand(): VfioCommand {
  return command('list', 'list PCI devices by IOMMU group')
    .argument('[address...]', 'these devices alone', addresses)
    .option('--tree', 'as they hang on buses and bridges')
    .option('--class <name>', 'those of a class: nvme, network, storage, display, a part of its name, or a number: 0x0108')
    .option('--vendor <name>', 'those of a vendor: its id, or a part of its name')
    .option('--device <name>', 'those with that id, or that part of a name')
    .option('--driver <name>', 'those that driver has, or none: none')
    .option('--group <number>', 'those of an IOMMU group', number)
    .example('vfio list', 'every device with its group, names, driver, and whether VFIO can have it')
    .example('vfio list --class nvme --driver none', 'drives that no driver has')
    .example('vfio list --tree', 'what is behind which bridge')
    .example('vfio list --json | jq ".[] | select(.readiness.state == \\"ready\\") | .address"', 'what can be opened now')
    .runs<CommonOptions & ListOptions>(async (context, options, args) => (await import('../list.js')).list(context, options, args));
}
