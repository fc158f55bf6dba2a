/** What runs in a thread that drives a pair of queues: see queue-thread.ts. */
import { parentPort, workerData } from 'node:worker_threads';
import { native } from 'vfio';
import { drop } from './drop.js';
import { exchange } from './exchange.js';
import { LentPort } from '../lent-port.js';
import { pktgen } from './pktgen.js';
import type { Results, Task, ThreadData } from './queue-thread.js';

const { lent, task } = workerData as ThreadData;
const stop = new AbortController();
const { signal } = stop;
parentPort!.once('message', () => stop.abort());
const [first, second] = lent;
using port = LentPort.open(native(), first);
using other = second && LentPort.open(native(), second);

function perform(): Promise<Results[Task['kind']]> {
  switch (task.kind) {
    case 'exchange':
      return exchange(port, other ?? port, { ...task, signal });
    case 'pktgen':
      return pktgen(port, { ...task, signal });
    case 'drop':
      return drop(port, signal);
  }
}

parentPort!.postMessage(await perform());
// Else listening for the word to stop would keep the thread.
parentPort!.close();
