import { command, type VfioCommand } from '../command.js';

export function listCommand(): VfioCommand {
  return command('list', 'list PCI devices by IOMMU group')
    .example('vfio list', 'every device with its group, names, driver, and whether VFIO can have it')
    .runs(async (context) => (await import('../list.js')).list(context));
}
