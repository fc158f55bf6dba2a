import { Argument } from 'commander';
import { command, type VfioCommand } from '../command.js';
import { paragraphs } from '../paragraphs.js';

export function completionCommand(): VfioCommand {
  return command('completion', 'print a script by which a shell completes command lines')
    .description(
      paragraphs(`
Prints a script for a shell, which then completes commands, options, their values, and the devices of the machine. It is for
vfio as a command: install the package globally, or have node_modules/.bin in your PATH.`),
    )
    .addArgument(new Argument('<shell>', 'which shell').choices(['bash', 'zsh', 'fish']))
    .example('source <(vfio completion bash)', 'for this bash; in ~/.bashrc, for all')
    .example('vfio completion zsh > ~/.zfunc/_vfio', 'for zsh, with ~/.zfunc in its fpath')
    .example('vfio completion fish > ~/.config/fish/completions/vfio.fish', 'for fish')
    .runs(async (context, _options, args) => (await import('../completion.js')).completion(context, args));
}

/** What those scripts call: the words behind `vfio`, of which the last is to be completed. */
export function completeCommand(): VfioCommand {
  const made = command('complete', 'print how the last word can go on')
    .argument('<word...>', 'the words of the command line, behind --')
    .example("vfio complete -- read ''", 'the addresses that vfio read can be given')
    .example('vfio complete -- li', 'the commands that begin so');
  return made.runs(async (context, _options, args) => (await import('../complete.js')).complete(context, made.root, args));
}
