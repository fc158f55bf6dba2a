import { FileKinds } from '../file-kinds.js';
import type { Files, Kernel } from '../kernel.js';
import { replaceClocks, type ClockName } from './clocks.js';
import { formatVersion, isCall, type Asked, type Beginning, type CallEntry, type Change, type Entry, type Told } from './entries.js';
import type { Act, Meeting } from './meeting.js';
import { seam } from './seam.js';
import { noteKinds } from './text.js';
import { TurnCount, Turns } from './turns.js';
import { WatchedMemory } from './watched-memory.js';

export interface RecordOptions {
  /** What runs, for the recording's first line. */
  readonly program?: readonly string[];
  /** The thread, by Node's number. */
  readonly thread?: number;
  /** Where the first line's facts about the machine are read. Default: `kernel.files`. */
  readonly files?: Files;
  /** What the thread reads from `performance.now()` and `Date.now()` from now on is recorded, too. Default: false. */
  readonly clocks?: boolean;
}

/**
 * A kernel that makes every call on `kernel` and writes down all that `replay` needs to answer the same without it: calls and
 * what came back, register accesses, interrupts, and what devices wrote into memory. `write` is given each line, with its end.
 *
 * What a device writes is found at the next call, register access, interrupt or turn of the event loop: what the program
 * overwrites before that is not.
 */
export function record(kernel: Kernel, write: (line: string) => void, options: RecordOptions = {}): Kernel {
  const put = (value: Entry | Beginning): void => write(`${JSON.stringify(value)}\n`);
  put(beginning(options.files ?? kernel.files, options));
  const recorder = new Recorder(put);
  if (options.clocks === true) replaceClocks(recorder.readClock);
  return seam(() => kernel, recorder);
}

function beginning(files: Files, { program, thread }: RecordOptions): Beginning {
  const release = files.readFile('/proc/sys/kernel/osrelease');
  const iommu = files.readdir('/sys/class/iommu');
  return {
    recording: formatVersion,
    ...(program && { program }),
    ...(thread !== undefined && { thread }),
    ...(typeof release !== 'number' && { kernel: new TextDecoder().decode(release).trim() }),
    ...(typeof iommu !== 'number' && { iommu: [...iommu] }),
  };
}

class Recorder implements Meeting {
  readonly #put: (entry: Entry) => void;
  readonly #memory = new WatchedMemory();
  /** What requests may point to: the program's own memory, which is not to live longer for it. */
  readonly #pointed = new Map<number, WeakRef<ArrayBuffer>>();
  readonly #turns = new Turns((kind) => this.#turn(kind));
  readonly #count = new TurnCount();
  readonly #kinds = new FileKinds();
  /** What was read from a clock since the last line. */
  #times: { readonly name: ClockName; readonly read: number[] } | undefined;
  /** A call is being made: who reads a clock is not the program. */
  #inside = false;
  #begun = 0;

  constructor(put: (entry: Entry) => void) {
    this.#put = put;
  }

  readonly meet = <T>(asked: Asked, { make, tell }: Act<T>): T => {
    this.#look();
    const pointed = asked.call.startsWith('ioctl') ? this.#snapshot() : undefined;
    let told: Told = {};
    this.#inside = true;
    try {
      const answer = make();
      told = tell(answer);
      return answer;
    } catch (error) {
      told = thrown(error);
      throw error;
    } finally {
      this.#inside = false;
      const memory = [...this.#memory.changes(), ...(pointed?.changes() ?? [])];
      this.#write({ ...asked, ...told, ...(memory.length > 0 && { memory }) });
    }
  };

  /** A loop that waits for memory without a call reads a clock: there, too, memory is looked at. */
  readonly readClock = (name: ClockName, real: () => number): number => {
    if (this.#inside) return real();
    this.#look();
    if (this.#times?.name !== name) this.#writeTimes();
    this.#times ??= { name, read: [] };
    // As many digits as are written down, so that the program has the same later.
    const time = Math.round(real() * 1000) / 1000;
    this.#times.read.push(time);
    this.#count.clear();
    return time;
  };

  async meetAsync(asked: Asked, { make, tell }: Act<number, Promise<number>>): Promise<number> {
    this.#look();
    const done = (this.#begun += 1);
    this.#write({ ...asked, begun: done });
    let told: Told = {};
    try {
      const answer = await make();
      told = tell(answer);
      return answer;
    } catch (error) {
      told = thrown(error);
      throw error;
    } finally {
      const memory = this.#memory.changes();
      this.#write({ done, ...told, ...(memory.length > 0 && { memory }) });
    }
  }

  mapped(id: number, memory: ArrayBuffer): void {
    this.#memory.add(id, memory);
    this.#turns.running = true;
  }

  unmapped(id: number): void {
    this.#memory.remove(id);
    this.#turns.running = this.#memory.size > 0;
  }

  pointedTo(id: number, memory: ArrayBuffer): void {
    this.#pointed.set(id, new WeakRef(memory));
  }

  watched(): void {
    // The kernel calls by itself.
  }

  came(ready: number, count: number | undefined, go: () => void): void {
    this.#wrote({ turns: 0 });
    this.#write({ ready, ...(count !== undefined && { count }) });
    go();
  }

  #turn(kind: string): void {
    this.#wrote({ turns: this.#count.add(kind), kind });
  }

  /** What changed while the program did nothing. */
  #wrote(when: { readonly turns: number; readonly kind?: string }): void {
    const wrote = this.#memory.changes();
    if (wrote.length > 0) this.#write({ wrote, ...when });
  }

  /** What changed while the program ran. */
  #look(): void {
    const found = this.#memory.changes();
    if (found.length > 0) this.#write({ found });
  }

  #snapshot(): { changes(): Change[] } {
    const memory = new WatchedMemory();
    for (const [id, reference] of this.#pointed) {
      const buffer = reference.deref();
      if (buffer === undefined) this.#pointed.delete(id);
      else memory.add(id, buffer);
    }
    return memory;
  }

  #write(entry: Entry): void {
    this.#writeTimes();
    this.#count.clear();
    this.#put(isCall(entry) ? this.#named(entry) : entry);
  }

  #writeTimes(): void {
    if (this.#times === undefined) return;
    const { name, read } = this.#times;
    this.#times = undefined;
    this.#put(name === 'now' ? { now: read } : { date: read });
  }

  #named({ call, fd, ...rest }: CallEntry): CallEntry {
    const request = fd === undefined || rest.number === undefined ? undefined : this.#kinds.request(fd, rest.number);
    const entry = { call, ...(fd !== undefined && { fd }), ...(request && { request: request.name }), ...rest };
    noteKinds(this.#kinds, entry);
    return entry;
  }
}

function thrown(error: unknown): Told {
  const { name, message, code } = error instanceof Error ? (error as NodeJS.ErrnoException) : { name: 'Error', message: String(error) };
  return { error: { name, message, ...(code !== undefined && { code }) } };
}
