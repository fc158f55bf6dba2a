import { CommanderError } from 'commander';
import { runCommand, VfioCommand, withCommonOptions } from './command.js';
import { listCommand } from './commands/list.js';
import { showCommand } from './commands/show.js';
import { bindCommand } from './commands/bind.js';
import { unbindCommand } from './commands/unbind.js';
import { doctorCommand } from './commands/doctor.js';
import { readCommand } from './commands/read.js';
import { writeCommand } from './commands/write.js';
import { dumpCommand } from './commands/dump.js';
import { irqCommand } from './commands/irq.js';
import { resetCommand } from './commands/reset.js';
import { traceCommand } from './commands/trace.js';
import { replayCommand } from './commands/replay.js';
import { labCommand } from './commands/lab.js';
import { completionCommand, completeCommand } from './commands/completion.js';
import { manualCommand } from './commands/manual.js';
import type { Terminal } from './context.js';
import * as exit from './exit.js';

/** By their names, in the order in which the help has them. */
const commands: Readonly<Record<string, () => VfioCommand>> = {
  list: listCommand,
  show: showCommand,
  bind: bindCommand,
  unbind: unbindCommand,
  doctor: doctorCommand,
  read: readCommand,
  write: writeCommand,
  dump: dumpCommand,
  irq: irqCommand,
  reset: resetCommand,
  trace: traceCommand,
  replay: replayCommand,
  lab: labCommand,
  completion: completionCommand,
};

/** `vfio` without its commands. */
function makeRoot(version: string): VfioCommand {
  const root = new VfioCommand('vfio')
    .description('Finds, shows, binds and tries devices for userspace drivers, and watches those drivers at work.')
    .version(version, '-V, --version', 'print the version');
  return withCommonOptions(root).enablePositionalOptions();
}

/** All of `vfio`, as data: what runs, what the help says, what is completed, and the man page. */
export function makeProgram(version: string): VfioCommand {
  const program = makeRoot(version);
  // The last two look at all of the others.
  for (const make of [...Object.values(commands), manualCommand]) program.addCommand(make());
  program.addCommand(completeCommand(), { hidden: true });
  return program;
}

/** As much of it as the arguments need: to make all commands takes longer than to list devices. */
function programFor([name = '']: readonly string[], version: string): VfioCommand {
  const make = Object.hasOwn(commands, name) ? commands[name] : undefined;
  return make === undefined ? makeProgram(version) : makeRoot(version).addCommand(make());
}

/** Runs one command line of `vfio`; gives the status that the process is to end with. Never throws. */
export async function run(args: readonly string[], version: string, terminal: Terminal): Promise<number> {
  const program = programFor(args, version);
  const json = args.includes('--json');
  // Programs are told of misuse as of all that goes wrong.
  const writeErr = json ? (): void => undefined : terminal.note;
  for (const command of [program, ...program.commands]) command.exitOverride().configureOutput({ writeOut: terminal.write, writeErr });
  try {
    return await runCommand(program, args, terminal);
  } catch (error) {
    if (!(error instanceof CommanderError)) {
      report(error, json, terminal);
      return exit.statusOf(error);
    }
    // What was asked for may have been the help; and its words are printed already.
    if (error.exitCode === 0) return exit.ok;
    if (json) report(new exit.Misuse(error.message.replace(/^error: /, '')), json, terminal);
    return exit.misused;
  }
}

function report(error: unknown, json: boolean, terminal: Terminal): void {
  const { message, code } = error instanceof Error ? (error as NodeJS.ErrnoException) : { message: String(error) };
  terminal.note(json ? `${JSON.stringify({ error: { ...(code && { code }), message } })}\n` : `vfio: ${message}\n`);
  if (error instanceof Error && process.env['NODE_DEBUG']?.split(',').includes('vfio') === true) terminal.note(`${error.stack}\n`);
}
