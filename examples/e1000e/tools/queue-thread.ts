import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Exchanged, ExchangeOptions } from './exchange.js';
import type { Lent } from '../lent-port.js';
import type { Generated, PktgenOptions } from './pktgen.js';

/** What a thread can do with its queues, as it is told. */
export type Task =
  | ({ readonly kind: 'exchange' } & Omit<ExchangeOptions, 'signal'>)
  | ({ readonly kind: 'pktgen' } & Omit<PktgenOptions, 'signal'>)
  | { readonly kind: 'drop' };

/** What comes of it. */
export interface Results {
  readonly exchange: Exchanged;
  readonly pktgen: Generated;
  readonly drop: number;
}

/** A pair of queues; for an exchange those of two cards, from the first to the second. */
export type LentPairs = readonly [first: Lent, second?: Lent | undefined];

export interface ThreadData {
  readonly lent: LentPairs;
  readonly task: Task;
}

/** Beside this file, and as it is: of TypeScript, which a thread has to be told how to read, or what became of it. */
function startWorker(workerData: ThreadData): Worker {
  const file = new URL(`./queue-worker${extname(import.meta.url)}`, import.meta.url);
  if (!file.pathname.endsWith('.ts')) return new Worker(file, { workerData });
  const [reader, program] = [import.meta.resolve('tsx/esm/api'), file.href].map((url) => JSON.stringify(url));
  return new Worker(`import(${reader}).then(({ tsImport }) => tsImport(${program}, ${program}))`, { eval: true, workerData });
}

/** Of being told to stop, until it is ended by force. */
const stopMilliseconds = 5000;

/** A thread that drives queues of cards on the real kernel: a simulated machine lives in the thread that made it. */
export class QueueThread<Kind extends Task['kind']> {
  /** When it is done and has closed its queues: the error, if that ended it. */
  readonly result: Promise<Results[Kind]>;
  readonly #worker: Worker;
  readonly #over: Promise<void>;

  constructor(lent: LentPairs, task: Task & { readonly kind: Kind }) {
    const worker = startWorker({ lent, task });
    this.#worker = worker;
    this.#over = new Promise((resolve) => worker.once('exit', () => resolve()));
    let found: Results[Kind] | undefined;
    worker.once('message', (result: Results[Kind]) => (found = result));
    const failed = new Promise<never>((_, reject) => worker.once('error', reject));
    const done = this.#over.then(() => {
      if (found === undefined) throw new Error('A thread ended before it was done');
      return found;
    });
    this.result = Promise.race([failed, done]);
  }

  /** Has it end what it does: then there is a result. */
  stop(): void {
    this.#worker.postMessage('stop');
  }

  /** Ends the thread, and returns when it is over and uses neither memory nor registers any more. */
  async end(): Promise<void> {
    this.stop();
    const force = setTimeout(() => void this.#worker.terminate(), stopMilliseconds);
    await this.#over;
    clearTimeout(force);
  }
}
