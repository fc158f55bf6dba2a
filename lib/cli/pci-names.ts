import type { Files } from '../kernel/kernel.js';
import { realFiles } from '../kernel/real-files.js';
import type { Context } from './context.js';

/** Where distributions put the database of PCI ids: pciutils', and that of hwdata, which is of the same form. */
const places = ['/usr/share/misc/pci.ids', '/usr/share/hwdata/pci.ids', '/usr/share/pci.ids'];

/** A line's name, and the lines below it that are deeper. */
interface Section {
  readonly name: string;
  readonly below: string;
}

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');

/**
 * Names of PCI's numbers. There are 36,000 lines of them and few are asked for. So they are searched for in the bytes, and
 * nothing but what is found is made a text of: reading all lines takes as long as Node takes to start.
 */
export class PciNames {
  readonly #bytes: Buffer;
  readonly #known = new Map<string, Section | undefined>();

  /** The contents of a pci.ids, or nothing: then nothing has a name. */
  constructor(bytes: Uint8Array = new Uint8Array(0)) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  vendor(vendor: number): string | undefined {
    return this.#find([hex(vendor, 4)])?.name;
  }

  device(vendor: number, device: number): string | undefined {
    return this.#find([hex(vendor, 4), hex(device, 4)])?.name;
  }

  /** What a device is called as the one of that subsystem; where it is the device itself, that one's name. */
  subsystem(vendor: number, device: number, subsystemVendor: number, subsystemDevice: number): string | undefined {
    const named = this.#find([hex(vendor, 4), hex(device, 4), `${hex(subsystemVendor, 4)} ${hex(subsystemDevice, 4)}`])?.name;
    const general = named ?? this.#find([`S ${hex(subsystemVendor, 4)}`, hex(subsystemDevice, 4)])?.name;
    return general ?? (vendor === subsystemVendor && device === subsystemDevice ? this.device(vendor, device) : undefined);
  }

  /** The name of a class of 24 bits without its programming interface, or of its base class if that is all that has one. */
  className(classCode: number): string | undefined {
    return this.#class(classCode, 2)?.name ?? this.baseClassName(classCode);
  }

  baseClassName(classCode: number): string | undefined {
    return this.#class(classCode, 1)?.name;
  }

  interfaceName(classCode: number): string | undefined {
    return this.#class(classCode, 3)?.name;
  }

  #class(classCode: number, depth: number): Section | undefined {
    const bytes = [classCode >> 16, (classCode >> 8) & 0xff, classCode & 0xff].map((byte) => hex(byte, 2));
    return this.#find([`C ${bytes[0]}`, ...bytes.slice(1)].slice(0, depth));
  }

  /** Under a vendor a device, under that a subsystem: each a tab deeper. */
  #find(keys: readonly string[]): Section | undefined {
    const path = keys.join('/');
    if (!this.#known.has(path)) this.#known.set(path, this.#search(keys));
    return this.#known.get(path);
  }

  #search(keys: readonly string[]): Section | undefined {
    const [key = ''] = keys.slice(-1);
    if (keys.length === 1) {
      const first = this.#bytes.toString('latin1', 0, key.length + 2) === `${key}  `;
      const newline = first ? -1 : this.#bytes.indexOf(`\n${key}  `);
      return first || newline >= 0 ? section(this.#linesFrom(newline + 1), key) : undefined;
    }
    const depth = keys.length - 1;
    const above = this.#find(keys.slice(0, -1))?.below ?? '';
    const at = above.indexOf(`\n${'\t'.repeat(depth)}${key}  `);
    if (at < 0) return undefined;
    const lines = above.slice(at + 1 + depth);
    const end = new RegExp(`\\n(?!\\t{${depth + 1}}|#|\\n)`).exec(lines)?.index;
    return section(lines.slice(0, end), key);
  }

  /** The line that begins there and those below it, as characters of one byte. */
  #linesFrom(start: number): string {
    const parts: string[] = [];
    for (let at = start; at < this.#bytes.length; at += chunk) {
      // And one more, to see what a newline at its end is followed by.
      const part = this.#bytes.toString('latin1', at, at + chunk + 1);
      const end = /\n(?=[^\t#\n])/.exec(part)?.index;
      parts.push(part.slice(0, end ?? chunk));
      if (end !== undefined) break;
    }
    return parts.join('');
  }
}

/** Most vendors' lines are fewer bytes. */
const chunk = 0x4000;

function section(lines: string, key: string): Section {
  const end = lines.indexOf('\n');
  const line = end < 0 ? lines : lines.slice(0, end);
  return {
    name: Buffer.from(line.slice(key.length + 2), 'latin1')
      .toString()
      .trim(),
    below: end < 0 ? '' : lines.slice(end),
  };
}

/** The names that the machine knows; where it is a simulated one that knows none, those of this one. */
export async function loadNames(context: Context): Promise<PciNames> {
  const bytes = (await readDatabase(await context.files())) ?? (await readDatabase(realFiles));
  if (bytes === undefined)
    context.terminal.note(
      "vfio: there are numbers instead of names, as there is no pci.ids: install your distribution's pciutils or hwdata\n",
    );
  return new PciNames(bytes);
}

/** The contents of the database, if there is one. */
export async function readDatabase(files: Files): Promise<Uint8Array | undefined> {
  for (const place of places) {
    const plain = files.readFile(place);
    if (typeof plain !== 'number') return plain;
    const packed = files.readFile(`${place}.gz`);
    if (typeof packed !== 'number') return (await import('node:zlib')).gunzipSync(packed);
  }
  return undefined;
}
