import type { Files } from '../../kernel/kernel.js';
import { readTextIfAny } from '../../pci/sysfs.js';
import type { PciDevice } from '../../pci/topology.js';
import type { Context } from '../context.js';
import type { Change, Place } from './plan.js';
import { replaceFile, textOf } from './text-file.js';

/** Gone with the boot that it is of. */
const savedPath = '/run/vfio/bindings.json';

interface Saved {
  readonly vendor: number;
  readonly device: number;
  /** What it had before `vfio bind`. */
  readonly driver: string | null;
  readonly override: string | null;
  /** What `vfio bind` gave it to. */
  readonly to: string;
}

interface Contents {
  /** Of which boot it is. */
  readonly boot: string;
  readonly devices: Readonly<Record<string, Saved>>;
}

/** Those of this machine. Of a simulated one nothing outlives the command. */
export function savedBindings(context: Context, files: Files): SavedBindings | undefined {
  return context.simulated === undefined ? new SavedBindings(files, savedPath) : undefined;
}

/** What devices were before `vfio bind`, for `vfio unbind`. */
export class SavedBindings {
  readonly #path: string;
  readonly #boot: string;
  readonly #devices: Readonly<Record<string, Saved>>;

  /** @throws Error for a file that is not for this user, or is of no such contents. */
  constructor(files: Files, path: string) {
    this.#path = path;
    this.#boot = readTextIfAny({ files }, '/proc/sys/kernel/random/boot_id') ?? 'unknown';
    this.#devices = read(path, this.#boot);
  }

  /** Where the device was, if `vfio bind` moved it in this boot, it is the same device, and nobody moved it since. */
  placeOf({ address, vendor, device, driver }: PciDevice): Place | undefined {
    const saved = this.#devices[address];
    if (saved === undefined || saved.vendor !== vendor || saved.device !== device || saved.to !== driver) return undefined;
    return { driver: saved.driver ?? undefined, override: saved.override ?? undefined };
  }

  /** Remembers what devices were that are to be bound. Gives what forgets it. */
  remember(changes: readonly Change[]): () => void {
    const devices = { ...this.#devices };
    for (const { device, override, to } of changes) {
      if (to === 'bus' || to.driver === undefined) continue;
      const before = this.placeOf(device) ?? { driver: device.driver, override };
      if (before === 'bus') continue;
      const { vendor, device: id } = device;
      devices[device.address] = { vendor, device: id, driver: before.driver ?? null, override: before.override ?? null, to: to.driver };
    }
    return this.#write(devices);
  }

  /** Of devices that went back there is nothing to remember. */
  forget(addresses: readonly string[]): () => void {
    if (!addresses.some((address) => Object.hasOwn(this.#devices, address))) return () => {};
    return this.#write(Object.fromEntries(Object.entries(this.#devices).filter(([address]) => !addresses.includes(address))));
  }

  #write(devices: Contents['devices']): () => void {
    return replaceFile(this.#path, `${JSON.stringify({ boot: this.#boot, devices } satisfies Contents, undefined, 2)}\n`);
  }
}

function read(path: string, boot: string): Contents['devices'] {
  const text = textOf(path);
  if (text === undefined) return {};
  const contents = JSON.parse(text) as Partial<Contents> | null;
  return contents?.boot === boot ? (contents.devices ?? {}) : {};
}
