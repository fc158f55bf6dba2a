import { command, type VfioCommand } from '../command.js';
import type { CommonOptions } from '../context.js';
import { address } from '../values.js';

export interface DoctorOptions extends CommonOptions {
  readonly check?: readonly string[];
  readonly strict?: true;
  readonly list?: true;
}

export function doctorCommand(): VfioCommand {
  return command('doctor', 'find what keeps VFIO from working, and how to mend it')
    .argument('[address]', 'a device that is to work; by default all that VFIO has', address)
    .option('--check <id...>', 'these checks alone, as an error or --list names them; they tell what is quite usual, too')
    .option('--strict', 'warnings end it with 1, too')
    .option('--list', 'name the checks')
    .example('vfio doctor', 'the machine, and all devices that VFIO has or is to have')
    .example('vfio doctor 0000:03:00.0', 'and everything about that device')
    .example('vfio doctor --check memlock hugepages', 'these two checks')
    .example('vfio doctor --json | jq -r .findings[].fix[]', 'the commands that mend what was found')
    .runs<DoctorOptions>(async (context, options, [asked]) => (await import('../doctor.js')).doctor(context, asked, options));
}
