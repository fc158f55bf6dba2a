import type { Command, Option } from 'commander';
import type { VfioCommand, Example } from './command.js';
import type { Context } from './context.js';
import * as exit from './exit.js';

const statuses: readonly (readonly [status: number, meaning: string])[] = [
  [exit.ok, 'It is done.'],
  [exit.failed, 'It did not work, or what was looked for was not found, or what should not be there was.'],
  [exit.misused, 'The options or arguments are wrong; nothing was done.'],
  [exit.refused, 'It would have hurt; nothing was done.'],
];

const environment: readonly (readonly [name: string, meaning: string])[] = [
  ['NO_COLOR', 'If it is there, no colours are used; nor are they where standard output is no terminal.'],
  ['NODE_DEBUG', 'With vfio in it, errors are printed with where in the program they arose.'],
  ['XDG_CACHE_HOME', 'The folder below which the lab keeps its kernels; ~/.cache by default.'],
];

const files: readonly (readonly [path: string, meaning: string])[] = [
  ['/sys/bus/pci/devices', 'The PCI devices of the machine.'],
  ['/dev/vfio, /dev/iommu', 'What devices are opened by.'],
  ['~/.cache/vfio-lab', 'The kernels that the lab has built.'],
];

export async function manual(context: Context, program: Command): Promise<void> {
  context.result({ manual: manualPage(program) }, () => manualPage(program));
}

/** The page, for man(1). */
export function manualPage(program: Command): string {
  const help = program.createHelp();
  const commands = help.visibleCommands(program).filter((each) => each.name() !== 'help');
  const common = help.visibleOptions(program);
  const isCommon = ({ long }: Option): boolean => common.some((each) => each.long === long);
  return [
    '.TH VFIO 1 "" vfio "User Commands"',
    '.SH NAME',
    `vfio \\- ${escaped(lowerFirst(program.description()).replace(/\.$/, ''))}`,
    '.SH SYNOPSIS',
    '.B vfio',
    '.I command',
    '[\\fIoptions\\fR] [\\fIarguments\\fR]',
    '.SH DESCRIPTION',
    ...paragraphsOf(program.description()),
    '.SH OPTIONS',
    'All commands have these, but for \\-V, which is for vfio alone.',
    ...common.flatMap((option) => item(option.flags, option.description)),
    '.SH COMMANDS',
    ...commands.flatMap((command) =>
      section(
        command,
        help.visibleOptions(command).filter((option) => !isCommon(option)),
      ),
    ),
    '.SH EXIT STATUS',
    ...statuses.flatMap(([status, meaning]) => item(String(status), meaning)),
    '.PP',
    'The commands that run another end with its status.',
    '.SH ENVIRONMENT',
    ...environment.flatMap(([name, meaning]) => item(name, meaning)),
    '.SH FILES',
    ...files.flatMap(([path, meaning]) => item(path, meaning)),
  ].join('\n');
}

function section(command: Command, options: readonly Option[]): string[] {
  // Not by its class, of which there are two where one is in the bundle.
  const examples = 'examples' in command ? (command as VfioCommand).examples : [];
  return [
    `.SS ${quoted(`${command.name()} ${command.usage()}`)}`,
    ...paragraphsOf(command.description()),
    ...command.registeredArguments.flatMap((argument) => item(argument.name(), describe(argument.description, argument))),
    ...options.flatMap((option) => item(option.flags, describe(option.description, option))),
    ...(examples.length > 0 ? ['.PP', 'Examples:'] : []),
    ...examples.flatMap(exampleLines),
  ];
}

/** As commander's help has it, with choices and defaults that the description does not say. */
function describe(description: string, { argChoices, defaultValue }: Pick<Option, 'argChoices' | 'defaultValue'>): string {
  const choices = argChoices === undefined ? [] : [`one of ${argChoices.join(', ')}`];
  const plain = typeof defaultValue === 'string' || typeof defaultValue === 'number';
  return [description, ...choices, ...(plain ? [`default: ${defaultValue}`] : [])].join('; ');
}

function exampleLines([line, meaning]: Example): string[] {
  return ['.PP', '.RS 4', '.EX', lineOf(line), '.EE', '.RE', '.RS 8', lineOf(meaning), '.RE'];
}

function item(term: string, text: string): string[] {
  return ['.TP', `\\fB${escaped(term)}\\fR`, lineOf(text)];
}

function paragraphsOf(text: string): string[] {
  return text.split('\n\n').flatMap((paragraph) => ['.PP', lineOf(paragraph)]);
}

/** A line of text, whatever it begins with. */
function lineOf(text: string): string {
  return escaped(text).replace(/^([.'])/, '\\&$1');
}

function quoted(text: string): string {
  return `"${escaped(text).replaceAll('"', '""')}"`;
}

/** What man takes as it is meant: hyphens to be copied, and no backslash of its own. */
function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll("'", '\\(aq')
    .replaceAll('`', '\\(ga')
    .replaceAll('~', '\\(ti')
    .replaceAll('^', '\\(ha');
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
