/** The lines of a recording, each an object in JSON. `docs/tracing.md` describes them. */
import type { FileStatus } from '../kernel.js';

/** The first line of a thread's part: what was recorded, and where. */
export interface Beginning {
  /** The version of these lines. */
  readonly recording: number;
  /** What ran. */
  readonly program?: readonly string[];
  /** The kernel's release: '6.12.0'. */
  readonly kernel?: string;
  /** Its IOMMUs, as /sys/class/iommu names them. */
  readonly iommu?: readonly string[];
  /** The thread that it is of, by Node's number: 0 for a process's own. */
  readonly thread?: number;
}

/** Bytes of memory that changed: the memory's number, the offset, and what is there now. */
export type Change = readonly [memory: number, offset: number, bytes: string];

/** A call, and what it was given. Bytes are as `packBytes` has them, numbers of 64 bits hexadecimal: '0x1000'. */
export interface Asked {
  /** A name of `Kernel`, `Files` or `Mmio`, or `populate`, `munmap`, `unwatch`. */
  readonly call: string;
  readonly fd?: number;
  readonly path?: string;
  readonly flags?: number;
  /** An ioctl's. */
  readonly number?: number;
  readonly argument?: number | string;
  readonly structs?: string;
  readonly holding?: number;
  /** Bytes to be read, mapped, or pointed to. */
  readonly size?: number;
  /** Bytes that are written. */
  readonly given?: string;
  readonly offset?: number;
  readonly protection?: number;
  readonly node?: number;
  readonly initial?: number;
  readonly mode?: number;
  readonly user?: number;
  readonly group?: number;
  /** Memory, a mapping or a watch, by its number. */
  readonly of?: number;
  readonly mapping?: number;
  readonly watch?: number;
  /** Of register accesses. */
  readonly value?: number | string;
  readonly width?: number;
  readonly count?: number;
  readonly offsets?: readonly number[];
  readonly values?: string;
  readonly mask?: number | string;
  readonly wanted?: number | string;
  readonly timeoutMilliseconds?: number;
}

/** What came back of a call. */
export interface Told {
  readonly result?: number;
  /** What was thrown in place of a result. */
  readonly error?: { readonly name: string; readonly message: string; readonly code?: string };
  /** What changed in memory while it was made. */
  readonly memory?: readonly Change[];
  /** What became of an ioctl's struct, if it changed; of several, and their results. */
  readonly answer?: string;
  readonly results?: readonly number[];
  /** What was read: bytes, a register, text, names, a link, a file's status. */
  readonly bytes?: string;
  readonly read?: number | string;
  readonly text?: string;
  readonly names?: readonly string[];
  readonly target?: string;
  readonly status?: FileStatus;
  readonly address?: string;
  /** The number of the mapping or watch that was made; of a mapping, its bytes, and whether it is memory. */
  readonly made?: number;
  readonly length?: number;
  readonly isMemory?: boolean;
}

/** A call that was made. */
export interface CallEntry extends Asked, Told {
  /** A call on another thread: `done` with the same number is its end. */
  readonly begun?: number;
  /** An ioctl's name, for those who read it. */
  readonly request?: string;
}

/**
 * What a device wrote while the program did nothing, found when its turn came: the `turns`-th since the line before, of its
 * turns by callbacks of this kind ('Immediate', 'Timeout', ...).
 */
export interface WroteEntry {
  readonly wrote: readonly Change[];
  readonly turns: number;
  readonly kind?: string;
}

/** What changed while the program ran, by the program or by a device, found at its next call. */
export interface FoundEntry {
  readonly found: readonly Change[];
}

/** A watched file became readable; for `watchCount` with the count. */
export interface ReadyEntry {
  readonly ready: number;
  readonly count?: number;
}

/** What the program read from `performance.now()`, or from `Date.now()`, one after the other: milliseconds. */
export type ClockEntry = { readonly now: readonly number[] } | { readonly date: readonly number[] };

/** The end of a call on another thread. */
export interface DoneEntry extends Told {
  readonly done: number;
}

/** What happened beside the program's calls. */
export type Happening = WroteEntry | FoundEntry | ReadyEntry | DoneEntry | ClockEntry;

export type Entry = CallEntry | Happening;

/** A line; `by` is the part that it belongs to, where there is more than one. */
export type Line = (Entry | Beginning) & { readonly by?: number };

export const formatVersion = 1;

export function isCall(entry: Entry): entry is CallEntry {
  return 'call' in entry;
}

/** What one thread did. */
export interface Part {
  readonly beginning: Beginning;
  readonly entries: readonly Entry[];
}

/**
 * The parts of a recording, by their numbers from 1. A last line that was cut short is left out.
 * @throws SyntaxError that names the line
 */
export function parseRecording(text: string): ReadonlyMap<number, Part> {
  const parts = new Map<number, { readonly beginning: Beginning; readonly entries: Entry[] }>();
  const lines = text.split('\n');
  // What is behind the last end of a line is a line that was not written whole.
  lines.pop();
  for (const [index, line] of lines.entries()) {
    const at = `Line ${index + 1} of the recording`;
    const value = parseLine(at, line);
    const { by = 1 } = value;
    if ('recording' in value) {
      if (value.recording !== formatVersion) throw new SyntaxError(`${at} is of version ${String(value.recording)}, not ${formatVersion}`);
      parts.set(by, { beginning: value as Beginning, entries: [] });
      continue;
    }
    const part = parts.get(by);
    if (part === undefined) throw new SyntaxError(`${at} belongs to what has not begun; a recording begins with {"recording":1,…}`);
    part.entries.push(value as Entry);
  }
  if (parts.size === 0) throw new SyntaxError('There is nothing in the recording');
  return parts;
}

function parseLine(at: string, line: string): Line {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null) return value as Line;
  } catch (error) {
    throw new SyntaxError(`${at} is no JSON`, { cause: error });
  }
  throw new SyntaxError(`${at} is no object`);
}
