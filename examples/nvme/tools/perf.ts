import type { AddressSpace } from 'vfio';
import type { Controller } from '../controller.js';
import { checkedInteger } from '../checks.js';
import { Latencies } from './latencies.js';
import { io } from '../layout.js';
import type { Namespace } from '../namespace.js';

export interface PerfOptions {
  /** `mixed`: half of the commands read and half write, by chance. Those that write overwrite what is there. */
  readonly kind: 'read' | 'write' | 'mixed';
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

/**
 * How long the queue is polled before the event loop has a turn. Where interrupts tell of the commands' ends it is not polled:
 * then the loop's turn is what wakes this up.
 */
const busyMilliseconds = 20;

/** Keeps so many commands in flight for a while. Nothing is allocated for each. @throws RangeError; Error */
export async function perf(controller: Controller, namespace: Namespace, dma: AddressSpace, options: PerfOptions): Promise<PerfResult> {
  const { kind, random, depth, size, seconds } = options;
  const { io: attendant } = controller;
  const { queue } = attendant;
  const { blockSize } = namespace;
  const most = Math.min(namespace.mostBlocks * blockSize, Number(namespace.blocks) * blockSize);
  checkedInteger('depth', depth, 1, queue.depth - 1);
  checkedInteger('size', size, blockSize, most);
  if (size % blockSize !== 0) throw new RangeError(`Expected a multiple of ${blockSize} for size but received ${size}`);
  if (!(seconds > 0)) throw new RangeError(`Expected a number above 0 for seconds but received ${seconds}`);
  namespace.assertPlain();
  controller.assertWorking();
  const blocksOfEach = size / blockSize;
  const places = Math.floor(Number(namespace.blocks) / blocksOfEach);
  // Each slot's data begins with a page.
  const stride = Math.ceil(size / 4096) * 4096;
  using memory = dma.allocate(depth * stride);
  const latencies = new Latencies();
  let [operations, failed, next] = [0, 0, 0];
  const begin = performance.now();
  const end = begin + 1000 * seconds;
  const slots = Array.from({ length: depth }, (_, slot) => {
    const command = {
      opcode: kind === 'write' ? io.write : io.read,
      namespace: namespace.id,
      data: { iova: memory.iova + BigInt(slot * stride), bytes: size },
      dword10: 0,
      dword11: 0,
      dword12: blocksOfEach - 1,
    };
    let begun = begin;
    const issue = (now: number): void => {
      const place = random ? Math.floor(Math.random() * places) : next;
      next = next + 1 >= places ? 0 : next + 1;
      command.dword10 = (place * blocksOfEach) >>> 0;
      command.dword11 = Math.floor((place * blocksOfEach) / 2 ** 32);
      if (kind === 'mixed') command.opcode = Math.random() < 0.5 ? io.read : io.write;
      begun = now;
      queue.put(command, done);
    };
    const done = (status: number): void => {
      const now = performance.now();
      operations += 1;
      latencies.add(now - begun);
      if (status !== 0) failed += 1;
      else if (now < end) issue(now);
    };
    return issue;
  });
  for (const issue of slots) issue(begin);
  queue.ring();
  await attendant.attend(controller.completion === 'polling' ? busyMilliseconds : 0);
  controller.assertWorking();
  if (failed > 0) throw new Error(`${failed} of ${operations} commands failed`);
  return { operations, seconds: (performance.now() - begin) / 1000, latencies };
}
