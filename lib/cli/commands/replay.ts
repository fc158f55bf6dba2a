import { command, type VfioCommand } from '../command.js';

export function replayCommand(): VfioCommand {
  return command('replay', 'run a program against a recording, without the hardware')
    .argument('<recording>', 'what `vfio trace --out` wrote')
    .argument('<command...>', 'the program, and its arguments, behind --')
    .passThroughOptions()
    .example('vfio replay drive.ndjson -- node driver.mjs', 'ends with the status of the program, or with 4 and where it departed')
    .example('vfio replay drive.ndjson -- npx vitest run', 'tests of a driver, on what was recorded with its hardware')
    .runs(async (context, _options, [recording = '', ...args]) => (await import('../replay.js')).replay(context, recording, args));
}
