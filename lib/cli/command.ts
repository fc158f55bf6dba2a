import { Command } from 'commander';
import { Context, type CommonOptions, type Terminal } from './context.js';

/** A line to type, and what it does. */
export type Example = readonly [line: string, meaning: string];

/** A command of `vfio`: what commander knows of it, and examples, for its help and for the man page. */
export class VfioCommand extends Command {
  readonly examples: Example[] = [];

  /** The whole of `vfio`, once this is a part of it. */
  get root(): Command {
    return rootOf(this);
  }

  example(line: string, meaning: string): this {
    this.examples.push([line, meaning]);
    return this;
  }

  /** What it does; its status, 0 by default. `options` are the common ones and its own. */
  runs<Options extends CommonOptions>(run: (context: Context, options: Options, args: string[]) => Promise<number | void>): this {
    return this.action(async () => {
      const options = this.optsWithGlobals<Options>();
      const { json = false, sim } = options;
      const context = new Context(terminalOf(this), { json, ...(sim !== undefined && { sim }) });
      statuses.set(rootOf(this), (await run(context, options, this.args)) ?? 0);
    });
  }
}

const terminals = new WeakMap<Command, Terminal>();
const statuses = new WeakMap<Command, number>();

/** Runs the command that the arguments name; gives its status. */
export async function runCommand(program: Command, args: readonly string[], terminal: Terminal): Promise<number> {
  terminals.set(program, terminal);
  await program.parseAsync([...args], { from: 'user' });
  return statuses.get(program) ?? 0;
}

function rootOf(command: Command): Command {
  return command.parent === null ? command : rootOf(command.parent);
}

function terminalOf(command: Command): Terminal {
  const terminal = terminals.get(rootOf(command));
  if (terminal === undefined) throw new Error('A command runs by runCommand alone');
  return terminal;
}

/** A command with the options that all have. */
export function command(name: string, summary: string): VfioCommand {
  const made = withCommonOptions(new VfioCommand(name).summary(summary).description(summary));
  made.addHelpText('after', () => exampleText(made.examples));
  return made;
}

/** They can stand before the name of a command and after it. */
export function withCommonOptions(command: VfioCommand): VfioCommand {
  return command
    .option('--json', 'print the result for programs')
    .option('--sim <file>', 'work on the simulated machine that the file describes')
    .showHelpAfterError('(--help shows what there is)');
}

function exampleText(examples: readonly Example[]): string {
  if (examples.length === 0) return '';
  return `\nExamples:\n${examples.map(([line, meaning]) => `  ${line}\n      ${meaning}`).join('\n')}`;
}
