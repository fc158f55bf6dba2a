import { readFileSync } from 'node:fs';
import { isInstrumented } from '../kernel/instrument.js';
import type { Files, Kernel } from '../kernel/kernel.js';
import { realFiles } from '../kernel/real-files.js';
import { Misuse } from './exit.js';
import { messageOf } from './message.js';
import { painter, type Paint } from './paint.js';

/** Where a command's words go, and what tells it to stop. */
export interface Terminal {
  /** Standard output. */
  readonly write: (text: string) => void;
  /** Standard error. */
  readonly note: (text: string) => void;
  /** Somebody reads it: it may have colours and bars of progress. */
  readonly interactive: boolean;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

/** The options that every command has. */
export interface CommonOptions {
  readonly json?: true;
  readonly sim?: string;
}

/** What a command works with. */
export class Context {
  readonly terminal: Terminal;
  /** The results are for programs. */
  readonly json: boolean;
  readonly paint: Paint;
  /** The description of the simulated machine that is there in place of this one. */
  readonly simulated: string | undefined;
  #kernel: Kernel | undefined;

  constructor(terminal: Terminal, { json = false, sim }: { json?: boolean; sim?: string }) {
    this.terminal = terminal;
    this.json = json;
    this.paint = painter(terminal.interactive && !json);
    this.simulated = sim;
  }

  get signal(): AbortSignal {
    return this.terminal.signal;
  }

  /** The files of the machine. On this one they take no addon, which takes longer to load than a list to be printed. */
  async files(): Promise<Files> {
    return this.simulated === undefined && !isInstrumented() ? realFiles : (await this.kernel()).files;
  }

  /** The kernel of the machine. @throws Error where the addon is not built; Misuse for a description that is none. */
  async kernel(): Promise<Kernel> {
    this.#kernel ??= this.simulated === undefined ? (await import('../kernel/native.js')).native() : await simulate(this.simulated);
    return this.#kernel;
  }

  /** Prints one of many results as they come: as JSON in a line if that is wanted, otherwise the text. */
  line(value: unknown, text: () => string): void {
    this.terminal.write(`${this.json ? JSON.stringify(value, plain) : text()}\n`);
  }

  /** Prints what came out: as JSON if that is wanted, otherwise the text, which ends with its last line. */
  result(value: unknown, text: () => string): void {
    const printed = this.json ? JSON.stringify(value, plain, 2) : text();
    if (printed !== '') this.terminal.write(`${printed}\n`);
  }
}

async function simulate(file: string): Promise<Kernel> {
  const { parseMachine } = await import('../sim/machine-description.js');
  try {
    return parseMachine(readFileSync(file, 'utf8')).kernel;
  } catch (error) {
    throw new Misuse(`--sim ${file}: ${messageOf(error)}`);
  }
}

/** Numbers of 64 bits are texts in JSON, hexadecimal as addresses are: not every reader of JSON has such numbers. */
function plain(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `0x${value.toString(16)}` : value;
}
