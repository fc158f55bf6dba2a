import { Option } from 'commander';
import type { VfioCommand } from '../command.js';

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
