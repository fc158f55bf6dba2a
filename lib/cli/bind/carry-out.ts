import { giveToBus, moveDevice, readOverride } from '../../pci/driver.js';
import { groupBlockers, isVfioDriver } from '../../pci/group.js';
import type { WithFiles } from '../../pci/sysfs.js';
import { findDevice, nodesOf, type PciDevice } from '../../pci/topology.js';
import type { Files } from '../../kernel/kernel.js';
import type { Context } from '../context.js';
import { Misuse } from '../exit.js';
import { messageOf } from '../message.js';
import { allOrNothing, type Undo } from './all-or-nothing.js';
import { giveNodes, type Owned, type Owner } from './owner.js';
import { changeText, type Change } from './plan.js';
import { reasonsAgainst, refusalOf, type Reason } from './refusals.js';
import { replaceFile } from './text-file.js';

/** All that one command is to do. */
export interface Plan {
  readonly changes: readonly Change[];
  /** Whose the nodes become. */
  readonly owner: Owner | undefined;
  /** Files of the system that it was booted from; without a text, one to remove. */
  readonly files: readonly { readonly path: string; readonly text: string | undefined }[];
  /** Remembers or forgets; gives what takes that back, if there was something to do. */
  readonly save: () => (() => void) | undefined;
}

export interface Settings {
  readonly dryRun: boolean;
  /** Addresses whose use may end. */
  readonly forced: readonly string[];
}

/** What became of it, as `--json` prints it. */
interface Outcome {
  readonly dryRun: boolean;
  readonly devices: readonly {
    readonly address: string;
    readonly vendor: number;
    readonly device: number;
    readonly old: string | null;
    /** Of a plan, undefined: the one that the kernel picks. */
    readonly new?: string | null;
  }[];
  readonly refusals: readonly Reason[];
  readonly nodes: readonly Owned[];
  readonly files: readonly { readonly path: string; readonly text?: string }[];
  /** Groups that cannot be opened yet. */
  readonly notViable: readonly Unfinished[];
}

/** A group with devices that the host still drives. */
interface Unfinished {
  readonly group: number;
  readonly blockers: readonly { readonly address: string; readonly driver: string | undefined }[];
  /** What completes it. */
  readonly command: string;
}

/** Shows the plan, looks what is against it, and does all of it or nothing. @throws Refusal, or RolledBackError */
export async function carryOut(context: Context, plan: Plan, { dryRun, forced }: Settings): Promise<void> {
  const files = await context.files();
  const kernel = { files };
  const devices = plan.changes.map(({ device }) => device);
  const stray = forced.find((address) => !devices.some((device) => device.address === address));
  if (stray !== undefined) throw new Misuse(`Expected one of the devices to be moved for --force but received ${stray}`);
  const reasons = reasonsAgainst(kernel, plan.changes, { forced, session: sessionAddress() });
  if (dryRun || reasons.length > 0) {
    context.result(planned(kernel, plan, dryRun, reasons), () => (dryRun ? planText(plan) : ''));
    if (reasons.length > 0) throw refusalOf(reasons, devices);
    noteGroups(context, kernel, plan.changes);
    return;
  }
  if (!context.json) context.result(undefined, () => planText(plan));
  const nodes = await allOrNothing(kernel, plan.changes, (undo) => act(context, files, plan, undo));
  if (context.json) context.result({ ...planned(kernel, plan, false, []), devices: changed(kernel, plan.changes), nodes }, () => '');
  else for (const change of plan.changes) notePick(context, kernel, change);
  noteGroups(context, kernel, plan.changes);
}

async function act(context: Context, files: Files, { changes, owner, files: toWrite, save }: Plan, undo: Undo): Promise<Owned[]> {
  const kernel = { files };
  trySave(context, save, undo);
  for (const change of changes.filter(({ moves }) => moves)) {
    // A signal that came between two devices.
    await new Promise((resolve) => setImmediate(resolve));
    context.signal.throwIfAborted();
    undo.add(() => putBack(kernel, change));
    if (change.to === 'bus') giveToBus(kernel, change.device.address);
    else moveDevice(kernel, change.device.address, change.to.driver, change.to.override);
  }
  const nodes = owner === undefined ? [] : await giveNodes(files, allNodes(kernel, changes), owner, undo, context.signal);
  for (const { path, text } of toWrite) undo.add(replaceFile(path, text));
  return nodes;
}

function trySave(context: Context, save: Plan['save'], undo: Undo): void {
  try {
    undo.add(save() ?? (() => {}));
  } catch (error) {
    const why = messageOf(error);
    context.terminal.note(`What the devices were cannot be remembered for 'vfio unbind': ${why}\n`);
  }
}

/** A device that was not reached is not touched. */
function putBack(kernel: WithFiles, { device, override }: Change): void {
  const { driver } = findDevice(kernel, device.address);
  if (driver !== device.driver || readOverride(kernel, device.address) !== override)
    moveDevice(kernel, device.address, device.driver, override);
}

function allNodes(kernel: WithFiles, changes: readonly Change[]): string[] {
  return [...new Set(changes.flatMap(({ device }) => nodesOf(findDevice(kernel, device.address))))];
}

function planText({ changes, files }: Plan): string {
  const written = files.map(({ path, text }) =>
    text === undefined ? `remove ${path}` : `write ${path}:\n${text.replace(/^/gm, '  ').trimEnd()}`,
  );
  return [...changes.map(changeText), ...written].join('\n');
}

function planned(kernel: WithFiles, { changes, files }: Plan, dryRun: boolean, refusals: readonly Reason[]): Outcome {
  return {
    dryRun,
    devices: changes.map(({ device, to }) => ({ ...identity(device), ...(to !== 'bus' && { new: to.driver ?? null }) })),
    refusals,
    nodes: [],
    files: files.map(({ path, text }) => ({ path, ...(text !== undefined && { text }) })),
    notViable: unfinishedGroups(kernel, changes),
  };
}

function changed(kernel: WithFiles, changes: readonly Change[]): Outcome['devices'] {
  return changes.map(({ device }) => ({ ...identity(device), new: findDevice(kernel, device.address).driver ?? null }));
}

function identity({ address, vendor, device, driver }: PciDevice): Omit<Outcome['devices'][number], 'new'> {
  return { address, vendor, device, old: driver ?? null };
}

/** Which driver the kernel picked could not be said before. */
function notePick(context: Context, kernel: WithFiles, { device, to }: Change): void {
  if (to !== 'bus') return;
  const { driver } = findDevice(kernel, device.address);
  context.result(undefined, () => `${device.address}: the kernel picked ${driver ?? 'no driver: none that is loaded takes it'}`);
}

function noteGroups(context: Context, kernel: WithFiles, changes: readonly Change[]): void {
  for (const { group, blockers, command } of unfinishedGroups(kernel, changes)) {
    const names = blockers.map(({ address, driver }) => `${address} (${driver})`).join(', ');
    context.terminal.note(`Group ${group} cannot be opened as long as the host drives ${names} of it. To bind those, too: ${command}\n`);
  }
}

/** Groups that devices go to VFIO in while others stay with the host. */
function unfinishedGroups(kernel: WithFiles, changes: readonly Change[]): Unfinished[] {
  const toVfio = changes.filter(({ to }) => to !== 'bus' && to.driver !== undefined && isVfioDriver(to.driver));
  const going = new Set(toVfio.map(({ device }) => device.address));
  const groups = new Map(toVfio.flatMap(({ device }) => (device.group === undefined ? [] : [[device.group, device.address] as const])));
  return [...groups].flatMap(([group, address]) => {
    const blockers = groupBlockers(kernel, group)
      .filter(({ name }) => !going.has(name))
      .map(({ name, driver }) => ({ address: name, driver }));
    return blockers.length === 0 ? [] : [{ group, blockers, command: `vfio bind --group ${address}` }];
  });
}

/** The address of this machine that an SSH connection came to: 'client port server port'. sudo keeps it if it is told to. */
function sessionAddress(): string | undefined {
  return process.env['SSH_CONNECTION']?.split(' ')[2];
}
