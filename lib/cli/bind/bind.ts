import type { WithFiles } from '../../pci/sysfs.js';
import type { PciDevice } from '../../pci/topology.js';
import type { Context } from '../context.js';
import { carryOut } from './carry-out.js';
import { iommufdNote, parseOwner, type Owner } from './owner.js';
import { loadedDriver, namedDevices, toDriver, withGroups } from './plan.js';
import { savedBindings } from './saved-bindings.js';
import { bootNotes, hasRule, persistentRoot, ruleFor, rulePath } from './udev-rule.js';

export interface BindOptions {
  readonly driver: string;
  readonly group?: true;
  readonly owner?: string;
  readonly persistent?: true;
  readonly root?: string;
  readonly dryRun?: true;
  readonly force?: readonly string[];
}

/** `vfio bind`. */
export async function bind(context: Context, options: BindOptions, names: readonly string[]): Promise<void> {
  const files = await context.files();
  const kernel = { files };
  const root = persistentRoot(context, options);
  const named = namedDevices(kernel, names);
  const owner = options.owner === undefined ? undefined : parseOwner(files, options.owner);
  const driver = loadedDriver(kernel, options.driver);
  const devices = options.group === true ? withGroups(kernel, named, (mate) => mate.driver !== undefined) : named;
  const changes = devices.map((device) => toDriver(kernel, device, driver));
  const rules =
    root === undefined ? [] : devices.map((device) => ({ path: rulePath(root, device.address), text: ruleFor(device, driver, owner) }));
  for (const { path } of rules) hasRule(path);
  await carryOut(
    context,
    {
      changes,
      owner,
      files: rules,
      save: () => savedBindings(context, files)?.remember(changes.filter(({ moves }) => moves)),
    },
    { dryRun: options.dryRun === true, forced: options.force ?? [] },
  );
  for (const note of notesOf(kernel, { devices, driver, owner, persistent: root !== undefined })) context.terminal.note(`${note}\n`);
}

interface Bound {
  readonly devices: readonly PciDevice[];
  readonly driver: string;
  readonly owner: Owner | undefined;
  readonly persistent: boolean;
}

function notesOf(kernel: WithFiles, { devices, driver, owner, persistent }: Bound): Set<string> {
  const needed = owner === undefined ? undefined : iommufdNote(kernel.files, owner);
  return new Set([
    ...(persistent
      ? devices.flatMap((device) => bootNotes(kernel, device, driver))
      : ['This lasts until the next boot; with --persistent, longer.']),
    ...(needed === undefined ? [] : [needed]),
  ]);
}
