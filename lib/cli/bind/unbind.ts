import { hasVfioDriver } from '../../pci/group.js';
import type { PciDevice } from '../../pci/topology.js';
import type { Context } from '../context.js';
import { Misuse } from '../exit.js';
import { messageOf } from '../message.js';
import { carryOut } from './carry-out.js';
import { loadedDriver, namedDevices, toItsOwn, toPlace, withGroups, type Change, type Place } from './plan.js';
import { savedBindings, type SavedBindings } from './saved-bindings.js';
import { hasRule, persistentRoot, rulePath } from './udev-rule.js';

export interface UnbindOptions {
  readonly driver?: string;
  readonly none?: true;
  readonly group?: true;
  readonly persistent?: true;
  readonly root?: string;
  readonly dryRun?: true;
  readonly force?: readonly string[];
}

/** `vfio unbind`. */
export async function unbind(context: Context, options: UnbindOptions, names: readonly string[]): Promise<void> {
  if (options.driver !== undefined && options.none === true) throw new Misuse('--driver and --none exclude each other');
  const files = await context.files();
  const kernel = { files };
  const root = persistentRoot(context, options);
  const named = namedDevices(kernel, names);
  const devices = options.group === true ? withGroups(kernel, named, (mate) => hasVfioDriver(kernel, mate)) : named;
  const saved = rememberedBindings(context, () => savedBindings(context, files));
  const place = (device: PciDevice): Place => {
    if (options.none === true) return { driver: undefined, override: undefined };
    if (options.driver !== undefined) return toNamed(loadedDriver(kernel, options.driver));
    return saved?.placeOf(device) ?? toItsOwn(kernel, device);
  };
  const changes = devices.map((device) => toPlace(kernel, device, place(device)));
  for (const { to } of changes) if (to !== 'bus' && to.driver !== undefined) loadedDriver(kernel, to.driver);
  const rules = root === undefined ? [] : devices.map(({ address }) => rulePath(root, address)).filter(hasRule);
  if (root !== undefined && rules.length === 0) context.terminal.note('There are no files of --persistent for this to remove.\n');
  await carryOut(
    context,
    {
      changes,
      owner: undefined,
      files: rules.map((path) => ({ path, text: undefined })),
      save: () => saved?.forget(moved(changes)),
    },
    { dryRun: options.dryRun === true, forced: options.force ?? [] },
  );
}

/** By an override, as the driver might not be the device's own. */
function toNamed(driver: string): Place {
  return { driver, override: driver };
}

function moved(changes: readonly Change[]): string[] {
  return changes.filter(({ moves }) => moves).map(({ device }) => device.address);
}

/** What cannot be read is as good as what is not there: the device goes to the driver that the kernel picks. */
function rememberedBindings(context: Context, read: () => SavedBindings | undefined): SavedBindings | undefined {
  try {
    return read();
  } catch (error) {
    context.terminal.note(`What 'vfio bind' remembered is of no use: ${messageOf(error)}\n`);
    return undefined;
  }
}
