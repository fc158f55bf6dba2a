import { command, type VfioCommand } from '../command.js';

export function manualCommand(): VfioCommand {
  const made = command('manual', 'print the manual page')
    .example('vfio manual | man -l -', 'read it')
    .example('vfio manual > /usr/local/share/man/man1/vfio.1', 'have man find it');
  return made.runs(async (context) => (await import('../manual.js')).manual(context, made.root));
}
