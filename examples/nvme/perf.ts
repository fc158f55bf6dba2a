import type { AddressSpace } from 'vfio';
import type { Controller } from './controller.js';
import { io } from './layout.js';
import type { Namespace } from './namespace.js';
import { Latencies } from './latencies.js';

export interface PerfOptions {
  readonly write: boolean;
  readonly random: boolean;
  /** Commands in flight. */
  readonly depth: number;
  /** Bytes of each, a multiple of the block. */
  readonly size: number;
  readonly seconds: number;
}

export interface PerfResult {
  readonly operations: number;
  readonly seconds: number;
  readonly latencies: Latencies;
}

/** How long the queue is polled before the event loop has a turn. */
const turnMilliseconds = 20;

/** Keeps so many commands in flight for a while. Nothing is allocated for each. */
export async function perf(controller: Controller, namespace: Namespace, dma: AddressSpace, options: PerfOptions): Promise<PerfResult> {
  const { write, random, depth, size, seconds } = options;
  const blocksOfEach = size / namespace.blockSize;
  const places = Number(namespace.blocks) / blocksOfEach;
  using memory = dma.allocate(depth * size);
  const { queue } = controller;
  const latencies = new Latencies();
  let [operations, failed, inFlight, next] = [0, 0, 0, 0];
  const begin = performance.now();
  const end = begin + 1000 * seconds;
  let now = begin;
  const slots = Array.from({ length: depth }, (_, slot) => {
    const command = {
      opcode: write ? io.write : io.read,
      namespace: namespace.id,
      data: { iova: memory.iova + BigInt(slot * size), bytes: size },
      dword10: 0,
      dword11: 0,
      dword12: blocksOfEach - 1,
    };
    let begun = 0;
    const issue = (): void => {
      const place = random ? Math.floor(Math.random() * places) : next;
      next = next + 1 >= places ? 0 : next + 1;
      command.dword10 = (place * blocksOfEach) >>> 0;
      command.dword11 = Math.floor((place * blocksOfEach) / 2 ** 32);
      begun = performance.now();
      inFlight += 1;
      if (!queue.put(command, done)) throw new RangeError(`The queue has ${queue.depth - 1} places, which is less than ${depth}`);
    };
    const done = (status: number): void => {
      inFlight -= 1;
      operations += 1;
      failed += status === 0 ? 0 : 1;
      latencies.add(now - begun);
      if (now < end) issue();
    };
    return issue;
  });
  for (const issue of slots) issue();
  queue.ring();
  while (inFlight > 0) {
    for (const turn = now + turnMilliseconds; now < turn && inFlight > 0;) {
      now = performance.now();
      if (queue.poll() > 0) queue.ring();
    }
    await new Promise(setImmediate);
    if (controller.registers.CSTS.get('CFS') === 1) throw new Error('The controller gave up');
  }
  if (failed > 0) throw new Error(`${failed} of ${operations} commands failed`);
  return { operations, seconds: (performance.now() - begin) / 1000, latencies };
}
