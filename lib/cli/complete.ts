import type { Argument, Command, Option } from 'commander';
import { matter } from '../kernel/matters.js';
import { findDevices } from '../pci/topology.js';
import { Context } from './context.js';
import { idsText } from './hex.js';
import { regionNames } from './registers/region-names.js';

/** What a word can be, and what that is. */
type Candidate = readonly [value: string, description: string];

/** Prints how the last of the words behind `vfio` can go on: a line for each way, with a tab before what it means. */
export async function complete(context: Context, program: Command, words: readonly string[]): Promise<void> {
  const word = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  const place = findPlace(program, before);
  const machine = context.simulated ?? valueOf(before, '--sim');
  const looked = new Context(context.terminal, machine === undefined ? {} : { sim: machine });
  const found = (await candidates(looked, place, word)).filter(([value]) => value.startsWith(word));
  context.result(
    found.map(([value, description]) => ({ value, description })),
    () => found.map(([value, description]) => `${value}\t${description}`).join('\n'),
  );
}

/** Where in a command line a word is. */
interface Place {
  readonly command: Command;
  /** How many arguments there were before it. */
  readonly position: number;
  /** The option whose value it is, and which of its values. */
  readonly option: { readonly option: Option; readonly nth: number } | undefined;
  /** Options can not be here any more. */
  readonly onlyArguments: boolean;
}

function findPlace(program: Command, words: readonly string[]): Place {
  let place: Place = { command: program, position: 0, option: undefined, onlyArguments: false };
  for (const word of words) place = behind(place, word);
  return place;
}

function behind(place: Place, word: string): Place {
  const { command, option, onlyArguments } = place;
  if (option !== undefined && isValue(option, word)) {
    const more = option.option.variadic ? { option: option.option, nth: option.nth + 1 } : undefined;
    return { ...place, option: more };
  }
  if (!onlyArguments && word === '--') return { ...place, option: undefined, onlyArguments: true };
  if (!onlyArguments && word.startsWith('-')) {
    const found = optionsOf(command).find(({ long, short }) => word === long || word === short);
    const takesValue = found !== undefined && (found.required || found.optional);
    return { ...place, option: takesValue ? { option: found, nth: 0 } : undefined };
  }
  const sub = command.parent === null ? command.commands.find((each) => each.name() === word) : undefined;
  if (sub !== undefined) return { command: sub, position: 0, option: undefined, onlyArguments: false };
  return { ...place, option: undefined, position: place.position + 1 };
}

/** A value may begin with a hyphen where there has to be one. */
function isValue({ option, nth }: NonNullable<Place['option']>, word: string): boolean {
  return !word.startsWith('-') || (option.required && nth === 0);
}

function optionsOf(command: Command): readonly Option[] {
  return command.createHelp().visibleOptions(command);
}

async function candidates(
  context: Context,
  { command, position, option, onlyArguments }: Place,
  word: string,
): Promise<readonly Candidate[]> {
  const assignment = /^(--[\w-]+)=/.exec(word);
  if (assignment !== null && !onlyArguments) {
    const [start, name] = assignment;
    const assigned = optionsOf(command).find(({ long }) => long === name);
    return assigned === undefined ? [] : (await valuesOf(assigned, 0)).map(([value, what]) => [start + value, what]);
  }
  if (option !== undefined && isValue(option, word)) return await valuesOf(option.option, option.nth);
  if (!onlyArguments && word.startsWith('-'))
    return optionsOf(command).map(({ long, short, description }) => [long ?? short ?? '', description]);
  if (command.parent === null && position > 0) return [];
  if (command.parent === null)
    return command
      .createHelp()
      .visibleCommands(command)
      .map((each) => [each.name(), each.summary() || each.description()]);
  const all = command.registeredArguments;
  const argument = all[position] ?? (all.at(-1)?.variadic === true ? all.at(-1) : undefined);
  return argument === undefined ? [] : argumentValues(context, argument, word);
}

/** Of an option that takes several words, `nth` is which of them. */
async function valuesOf({ argChoices, long }: Option, nth: number): Promise<readonly Candidate[]> {
  if (argChoices !== undefined) return argChoices.map((value) => [value, '']);
  if (long === '--check') return await checks();
  return long === '--write' && nth % 3 === 0 ? regions : [];
}

const regions: readonly Candidate[] = regionNames.map((name) => [name, '']);

/** What `doctor` checks. */
async function checks(): Promise<readonly Candidate[]> {
  const { checkIds } = await import('../diagnosis/diagnose.js');
  return checkIds.map((id) => [id, matter(id).finding]);
}

async function argumentValues(context: Context, argument: Argument, word: string): Promise<readonly Candidate[]> {
  if (argument.argChoices !== undefined) return argument.argChoices.map((value) => [value, '']);
  if (argument.name() === 'region') return regions;
  return /^address(es)?$/.test(argument.name()) ? await devices(context, word) : [];
}

/** The devices by their addresses, in the form that the word begins in. */
async function devices(context: Context, word: string): Promise<readonly Candidate[]> {
  const found = findDevices({ files: await context.files() }).map(
    ({ address, vendor, device, driver }): Candidate => [address, `${idsText({ vendor, device })}, ${driver ?? 'no driver'}`],
  );
  if (found.some(([address]) => address.startsWith(word))) return found;
  return found.map(([address, what]) => [address.replace(/^0000:/, ''), what]);
}

function valueOf(words: readonly string[], option: string): string | undefined {
  const index = words.indexOf(option);
  return index < 0 ? undefined : words[index + 1];
}
