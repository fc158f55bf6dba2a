import type { Files } from '../kernel/kernel.js';
import { realFiles } from '../kernel/real-files.js';
import { bytesSource, fileSource, type ByteSource } from './byte-source.js';
import type { Context } from './context.js';
import { hex } from './hex.js';

/** Where distributions put the database of PCI ids: pciutils', and that of hwdata, which is of the same form. */
const places = ['/usr/share/misc/pci.ids', '/usr/share/hwdata/pci.ids', '/usr/share/pci.ids'];

/** Where a line begins: which block it is in, and where there the newline before it is. */
interface Place {
  readonly block: number;
  readonly index: number;
}

interface Line extends Place {
  readonly name: string;
}

/**
 * Names of PCI's numbers. There are 36,000 lines of them and few are asked for. So the database is read where a search in its
 * order leads: to read all of it takes as long as everything else that `vfio list` does.
 */
export class PciNames {
  readonly #source: ByteSource;
  readonly #blocks: string[] = [];
  readonly #known = new Map<string, Line | undefined>();

  /** A pci.ids, or nothing: then nothing has a name. */
  constructor(source: ByteSource = bytesSource(new Uint8Array(0))) {
    this.#source = source;
  }

  [Symbol.dispose](): void {
    this.#source[Symbol.dispose]();
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

  #class(classCode: number, depth: number): Line | undefined {
    const bytes = [classCode >> 16, (classCode >> 8) & 0xff, classCode & 0xff].map((byte) => hex(byte, 2));
    return this.#find([`C ${bytes[0]}`, ...bytes.slice(1)].slice(0, depth));
  }

  /** Under a vendor a device, under that a subsystem: each a tab deeper. */
  #find(keys: readonly string[]): Line | undefined {
    const path = keys.join('/');
    if (!this.#known.has(path)) this.#known.set(path, this.#search(keys));
    return this.#known.get(path);
  }

  #search(keys: readonly string[]): Line | undefined {
    const tabs = keys.length - 1;
    const line = `\n${'\t'.repeat(tabs)}${keys[tabs]}  `;
    if (tabs > 0) {
      const above = this.#find(keys.slice(0, -1));
      return above && this.#searchFrom({ ...above, index: above.index + 1 }, line, tabs === 1 ? noTab : notTwoTabs);
    }
    const block = this.#blockFor(keys[0]!);
    const index = this.#block(block).indexOf(line);
    // Databases are in order; somebody's own may not be.
    return index < 0 ? this.#searchFrom({ block: 0, index: 0 }, line) : this.#line({ block, index }, line);
  }

  /** The first line from there on that begins so, and is before the end. */
  #searchFrom({ block, index }: Place, line: string, end?: RegExp): Line | undefined {
    for (let at = block, start = index; at < this.#count; at += 1, start = 0) {
      const text = this.#block(at);
      const found = text.indexOf(line, start);
      const ended = end === undefined ? -1 : searchFrom(text, end, start);
      if (found >= 0 && (ended < 0 || found < ended)) return this.#line({ block: at, index: found }, line);
      if (ended >= 0) return undefined;
    }
    return undefined;
  }

  /** The last block whose first line without tabs is not behind that key's in order. */
  #blockFor(key: string): number {
    let low = 0;
    let high = this.#count;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      const first = this.#firstKey(middle, high);
      if (first !== undefined && rank(first.key) <= rank(key)) low = first.block;
      else high = middle;
    }
    return low;
  }

  #firstKey(block: number, end: number): { readonly key: string; readonly block: number } | undefined {
    for (let at = block; at < end; at += 1) {
      const key = keyLine.exec(this.#block(at))?.[1];
      if (key !== undefined) return { key, block: at };
    }
    return undefined;
  }

  get #count(): number {
    return Math.ceil(this.#source.length / size);
  }

  /** The lines whose newlines before them are in a part of the file, with these: as characters of one byte. */
  #block(number: number): string {
    return (this.#blocks[number] ??= this.#readBlock(number));
  }

  #readBlock(number: number): string {
    const bytes = this.#source.read(number * size, (number + 1) * size + longest);
    const end = bytes.indexOf(newline, size);
    // The first line of all has no newline before it.
    const start = number === 0 ? 0 : bytes.indexOf(newline);
    const text = start < 0 ? '' : bytes.toString('latin1', start, end < 0 ? bytes.length : end);
    return number === 0 ? `\n${text}` : text;
  }

  #line(place: Place, before: string): Line {
    const text = this.#block(place.block);
    const start = place.index + before.length;
    const end = text.indexOf('\n', start);
    const name = Buffer.from(text.slice(start, end < 0 ? undefined : end), 'latin1');
    return { ...place, name: name.toString().trim() };
  }
}

/** Of a block, in bytes: so few that little is read in vain, and so many that most vendors are in one. */
const size = 0x2000;
/** No line is longer. */
const longest = 0x400;
const newline = 0x0a;

const keyLine = /\n([0-9a-f]{4}|[A-Z] [0-9a-f]{2,4}) {2}/;
/** What ends the lines below one without tabs, and below one with one. */
const noTab = /\n(?=[^\t#\n])/g;
const notTwoTabs = /\n(?!\t\t|#|\n|$)/g;

/** By which lines are in order: vendors, then classes. */
function rank(key: string): string {
  return key.replace(/^[A-Z]/, '~');
}

function searchFrom(text: string, wanted: RegExp, start: number): number {
  wanted.lastIndex = start;
  return wanted.exec(text)?.index ?? -1;
}

/** The names that the machine knows; where it is a simulated one that knows none, those of this one. To be closed. */
export async function loadNames(context: Context): Promise<PciNames> {
  const database = (await findDatabase(await context.files())) ?? (await findDatabase(realFiles));
  if (database === undefined)
    context.terminal.note(
      "vfio: there are numbers instead of names, as there is no pci.ids: install your distribution's pciutils or hwdata\n",
    );
  return new PciNames(database);
}

/** The database, if there is one. That of this machine is not read whole. */
export async function findDatabase(files: Files): Promise<ByteSource | undefined> {
  for (const place of places) {
    const plain = files === realFiles ? fileSource(place) : sourceOf(files.readFile(place));
    if (plain !== undefined) return plain;
    const packed = files.readFile(`${place}.gz`);
    if (typeof packed !== 'number') return bytesSource((await import('node:zlib')).gunzipSync(packed));
  }
  return undefined;
}

function sourceOf(bytes: Uint8Array | number): ByteSource | undefined {
  return typeof bytes === 'number' ? undefined : bytesSource(bytes);
}
