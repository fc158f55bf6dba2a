import { CodedError } from '../error.js';
import type { FileKinds } from '../file-kinds.js';
import type { Kernel } from '../kernel.js';
import { samePacked, unpackBytes } from './bytes.js';
import {
  isCall,
  parseRecording,
  type Asked,
  type CallEntry,
  type ClockEntry,
  type Change,
  type DoneEntry,
  type Entry,
  type Happening,
  type Part,
  type ReadyEntry,
  type Told,
} from './entries.js';
import { replaceClocks, type ClockName } from './clocks.js';
import type { Act, Meeting } from './meeting.js';
import { seam } from './seam.js';
import { describeEntry, kindsAfter } from './text.js';
import { TurnCount, Turns } from './turns.js';

/** Where a program did not do what was recorded. `code` is 'ERR_VFIO_DEPARTED'. */
export class DepartedError extends CodedError {
  /** Which entry of the recording it was at, from 1. */
  readonly entry: number;
  /** The call that was recorded, in words; undefined at the recording's end. */
  readonly recorded: string | undefined;
  /** The call that came; undefined where none did. */
  readonly came: string | undefined;

  constructor(entry: number, recorded: string | undefined, came: string | undefined) {
    const expectation = recorded === undefined ? 'the recording is at its end' : `recorded was ${recorded}`;
    super('ERR_VFIO_DEPARTED', `The program departs from the recording at entry ${entry}: ${expectation}; ${came ?? 'the program ended'}`);
    this.name = 'DepartedError';
    this.entry = entry;
    this.recorded = recorded;
    this.came = came;
  }
}

/** A kernel that answers from a recording. */
export interface ReplayedKernel extends Kernel {
  /** How many of the recorded calls have not been made. */
  readonly left: number;
  /** Where the program departed, if it did. */
  readonly departure: DepartedError | undefined;
  /** @throws DepartedError if the program departed, or calls are left. */
  assertFinished(): void;
}

export interface ReplayOptions {
  /** Which part of a recording of several threads. Default: 1. */
  readonly part?: number;
  /** Told at once where the program departs: it may swallow the error. */
  readonly departed?: (departure: DepartedError) => void;
  /** `performance.now()` and `Date.now()` of this thread are the recording's from now on, if it has them. Default: false. */
  readonly clocks?: boolean;
}

/**
 * A kernel that answers as the recorded one did, without its hardware: the same fds, addresses, bytes, register values and
 * interrupts, and in memory what devices wrote there. Calls have to come as they were recorded: another one, and every one after
 * it, throws a DepartedError. `recording` is all of its lines.
 * @throws SyntaxError for what is no recording; RangeError for a part that it lacks
 */
export function replay(recording: string, { part = 1, ...options }: ReplayOptions = {}): ReplayedKernel {
  const found = parseRecording(recording).get(part);
  if (found === undefined) throw new RangeError(`The recording has no part ${part}`);
  return replayPart(found, options);
}

/** The same for one of its parts. */
export function replayPart({ entries }: Part, { departed = () => {}, clocks = false }: Omit<ReplayOptions, 'part'>): ReplayedKernel {
  const player = new Player(entries, departed, clocks);
  if (clocks) replaceClocks(player.readClock);
  const absent = (): never => {
    throw new CodedError('ERR_VFIO_DEPARTED', 'A recording has no kernel');
  };
  return Object.defineProperties(seam(absent, player), {
    left: { get: () => player.left },
    departure: { get: () => player.departure },
    assertFinished: { value: () => player.assertFinished() },
  }) as ReplayedKernel;
}

/** Milliseconds without a turn of the program, after which what a device wrote then is written all the same. */
const patience = 20;
/** The same for what was written while the program ran, which may be its own doing and spoil what it has not read yet; and for times. */
const longPatience = 1000;

/** How often a register may be looked at that says nothing new, beside what was recorded: a loop that waits for news has to end. */
const mostIdleLooks = 1000;

/** Deep enough a stack to reach the program through the layers between. */
const depth = 40;

class Player implements Meeting {
  readonly #entries: readonly Entry[];
  readonly #departed: (departure: DepartedError) => void;
  readonly #memory = new Map<number, WeakRef<ArrayBuffer>>();
  readonly #ready = new Map<number, (count: number) => void>();
  readonly #under = new Map<number, (told: Told) => void>();
  readonly #turns = new Turns((kind) => this.#turn(kind));
  /** Interrupts, and ends of calls on other threads, that the program was not yet told of. */
  readonly #late: (ReadyEntry | DoneEntry)[] = [];
  /** What each register said last. */
  readonly #seen = new Map<string, CallEntry>();
  #idleLooks = 0;
  #next = 0;
  /** How many of the next entry's times were read. */
  #timesRead = 0;
  /** The last time that was read of each clock, and the machine's own then. */
  readonly #last: Partial<Record<ClockName, { readonly time: number; readonly real: number }>> = {};
  readonly #count = new TurnCount();
  // biome-ignore lint/correctness/noUnusedPrivateClassMembers: ??= reads it.
  #delivery: NodeJS.Immediate | undefined;
  #wait: NodeJS.Timeout | undefined;
  departure: DepartedError | undefined;

  constructor(entries: readonly Entry[], departed: (departure: DepartedError) => void, clocks: boolean) {
    this.#entries = clocks ? entries : entries.filter((entry) => !isTime(entry));
    this.#departed = departed;
  }

  get left(): number {
    return this.#entries.slice(this.#next).filter(isCall).length;
  }

  assertFinished(): void {
    if (this.departure !== undefined) throw this.departure;
    const index = this.#entries.findIndex((entry, place) => place >= this.#next && isCall(entry));
    if (index >= 0) throw new DepartedError(index + 1, describeEntry(this.#entries[index] as CallEntry, this.#kinds(index)), undefined);
  }

  readonly meet = <T>(asked: Asked, { give }: Act<T>): T => {
    const entry = this.#take(asked);
    this.#write(entry.memory);
    this.#proceed();
    if (entry.error !== undefined) throw rebuilt(entry.error);
    return give(entry);
  };

  readonly readClock = (name: ClockName, real: () => number): number => {
    const last = this.#last[name];
    // Who asks more often than was recorded, has time go on by itself.
    const time = this.#nextTime(name) ?? (last === undefined ? real() : last.time + real() - last.real);
    this.#last[name] = { time, real: real() };
    return time;
  };

  /** The next time of that clock, if there is one before the next call. What was recorded before it has happened. */
  #nextTime(name: ClockName): number | undefined {
    let index = this.#next;
    for (let entry = this.#entries[index]; entry !== undefined; entry = this.#entries[(index += 1)]) {
      if (isCall(entry) && this.#saysNothingNew(entry)) continue;
      if (isCall(entry)) return undefined;
      const times = timesOf(entry, name);
      if (times === undefined || (index === this.#next && this.#timesRead >= times.length)) continue;
      while (this.#next < index) this.#pass(this.#entries[this.#next]!);
      this.#timesRead += 1;
      this.#count.clear();
      const time = times[this.#timesRead - 1];
      if (this.#timesRead === times.length) this.#advance(entry);
      return time;
    }
    return undefined;
  }

  async meetAsync(asked: Asked, { give }: Act<number, Promise<number>>): Promise<number> {
    const { begun = 0 } = this.#take(asked);
    const told = new Promise<Told>((resolve) => this.#under.set(begun, resolve));
    this.#proceed();
    const end = await told;
    if (end.error !== undefined) throw rebuilt(end.error);
    return give(end);
  }

  mapped(id: number, memory: ArrayBuffer): void {
    this.#memory.set(id, new WeakRef(memory));
  }

  unmapped(id: number): void {
    this.#memory.delete(id);
  }

  pointedTo(id: number, memory: ArrayBuffer): void {
    this.#memory.set(id, new WeakRef(memory));
  }

  watched(id: number, ready: (count: number) => void): void {
    this.#ready.set(id, ready);
  }

  came(_id: number, _count: number | undefined, go: () => void): void {
    go();
  }

  /** The next recorded call, which has to be this one; or the last look at a register, for one more look. */
  #take(asked: Asked): CallEntry {
    if (this.departure !== undefined) throw again(this.departure);
    const index = this.#find(asked);
    if (index === undefined) {
      const seen = this.#idleLooks < mostIdleLooks ? this.#seen.get(registerOf(asked)) : undefined;
      if (seen === undefined) throw this.#depart(asked);
      this.#idleLooks += 1;
      return seen;
    }
    for (let entry = this.#entries[this.#next]!; this.#next < index; entry = this.#entries[this.#next]!) this.#pass(entry);
    const entry = this.#entries[index] as CallEntry;
    this.#step();
    this.#idleLooks = 0;
    if (entry.read !== undefined) this.#seen.set(registerOf(entry), { call: entry.call, read: entry.read });
    return entry;
  }

  /** Where the call is recorded, if it is what comes next: but for looks at registers that said what they had said before. */
  #find(asked: Asked): number | undefined {
    for (let index = this.#next; index < this.#entries.length; index += 1) {
      const entry = this.#entries[index]!;
      if (!isCall(entry)) continue;
      if (isSame(asked, entry)) return index;
      if (!this.#saysNothingNew(entry)) return undefined;
    }
    return undefined;
  }

  /** A look at a register that said what it had said before. */
  #saysNothingNew(entry: CallEntry): boolean {
    return entry.read !== undefined && entry.memory === undefined && this.#seen.get(registerOf(entry))?.read === entry.read;
  }

  #depart(asked: Asked): DepartedError {
    while (this.#next < this.#entries.length && !isCall(this.#entries[this.#next]!)) this.#pass(this.#entries[this.#next]!);
    const entry = this.#entries[this.#next] as CallEntry | undefined;
    const kinds = this.#kinds(this.#next);
    const recorded = entry && describeEntry(entry, kinds);
    const usual = Error.stackTraceLimit;
    Error.stackTraceLimit = depth;
    this.departure = new DepartedError(this.#next + 1, recorded, `the program made ${describeEntry(asked, kinds)}`);
    Error.stackTraceLimit = usual;
    this.#rest();
    this.#departed(this.departure);
    return this.departure;
  }

  #kinds(index: number): FileKinds {
    return kindsAfter(this.#entries.slice(0, index));
  }

  /** What was recorded before the next call has happened: in memory at once, for callbacks when their turn comes. */
  #pass(entry: Entry): void {
    this.#step();
    if (isCall(entry) || isTime(entry)) return;
    if ('wrote' in entry) this.#write(entry.wrote);
    else if ('found' in entry) this.#write(entry.found);
    else this.#late.push(entry);
  }

  #step(): void {
    this.#next += 1;
    this.#count.clear();
    this.#timesRead = 0;
  }

  #write(changes: readonly Change[] = []): void {
    for (const [id, offset, bytes] of changes) {
      const memory = this.#memory.get(id)?.deref();
      if (memory !== undefined && memory.byteLength > 0) new Uint8Array(memory).set(unpackBytes(bytes), offset);
    }
  }

  /** Sees to it that what comes next, comes. */
  #proceed(): void {
    const entry = this.#entries[this.#next];
    if (entry === undefined || isCall(entry)) this.#turns.running = false;
    else if ('wrote' in entry || 'found' in entry || isTime(entry)) {
      this.#turns.running = true;
      clearTimeout(this.#wait);
      this.#wait = this.#turns.own(setTimeout(() => this.#afterTurn(entry), 'wrote' in entry ? patience : longPatience).unref());
    }
    if (this.#late.length > 0 || (entry !== undefined && ('ready' in entry || 'done' in entry)))
      this.#delivery ??= this.#turns.own(setImmediate(() => this.#deliver()));
  }

  #turn(kind: string): void {
    const entry = this.#entries[this.#next];
    const turns = this.#count.add(kind);
    if (entry === undefined || !('wrote' in entry)) return;
    if ((entry.kind ?? kind) === kind && turns >= entry.turns) this.#advance(entry);
  }

  /** Whoever waits by immediates has seen what was written before. */
  #afterTurn(entry: Happening): void {
    this.#turns.own(setImmediate(() => this.#overdue(entry)).unref());
  }

  #overdue(entry: Happening): void {
    if (this.departure === undefined && this.#entries[this.#next] === entry) this.#advance(entry);
  }

  #advance(entry: Happening): void {
    this.#pass(entry);
    this.#proceed();
  }

  #deliver(): void {
    this.#delivery = undefined;
    const entry = this.#entries[this.#next];
    if (this.departure !== undefined) return;
    if (this.#late.length === 0 && entry !== undefined && ('ready' in entry || 'done' in entry)) this.#pass(entry);
    const event = this.#late.shift();
    // Before the program is told: what it throws is its own.
    this.#proceed();
    if (event === undefined) return;
    if ('ready' in event) this.#ready.get(event.ready)?.(event.count ?? 0);
    else this.#end(event);
  }

  #end(event: DoneEntry): void {
    this.#write(event.memory);
    this.#under.get(event.done)?.(event);
    this.#under.delete(event.done);
  }

  #rest(): void {
    this.#turns.running = false;
    clearTimeout(this.#wait);
  }
}

function isTime(entry: Entry): entry is ClockEntry {
  return 'now' in entry || 'date' in entry;
}

function timesOf(entry: Happening, name: ClockName): readonly number[] | undefined {
  if (name === 'now') return 'now' in entry ? entry.now : undefined;
  return 'date' in entry ? entry.date : undefined;
}

/** What a read of a register, and one of the same register again, have in common. */
function registerOf({ call, mapping, offset }: Asked): string {
  return `${call} ${mapping} ${offset}`;
}

/** Each call after the departure throws one of its own: who closes one thing after the other chains them. */
function again({ entry, recorded, came }: DepartedError): DepartedError {
  return new DepartedError(entry, recorded, came);
}

/** Whether this call was recorded there: everything that it is given is the same. */
function isSame(asked: Asked, entry: CallEntry): boolean {
  return Object.entries(asked).every(([field, value]) => {
    const recorded = entry[field as keyof Asked];
    if (typeof value === 'string' && typeof recorded === 'string') return samePacked(value, recorded);
    return JSON.stringify(value) === JSON.stringify(recorded);
  });
}

function rebuilt({ name, message, code }: NonNullable<Told['error']>): Error {
  if (code !== undefined) return Object.assign(new CodedError(code, message), { name });
  return name === 'RangeError' ? new RangeError(message) : name === 'TypeError' ? new TypeError(message) : new Error(message);
}
