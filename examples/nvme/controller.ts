import type { OpenDevice } from 'vfio';
import { deviceRegisters, type DeviceRegisters } from 'vfio/driver';
import { admin, command, completion, identifyController, identifyNamespace, identifyNamespaces, layout, pageSize } from './layout.js';
import { Namespace } from './namespace.js';
import { QueuePair, type Command } from './queue-pair.js';

export interface ControllerOptions {
  /** Places in each I/O queue. Default: 128, or what the controller has. */
  readonly depth?: number;
  /** Default: 5000. */
  readonly timeoutMilliseconds?: number;
}

const adminDepth = 32;
/** Ended by nobody but this driver: a status that no controller has. */
const abandoned = 0x7fff;

/** An NVMe controller that was reset and enabled, with one pair of I/O queues. */
export class Controller {
  readonly registers: DeviceRegisters<typeof layout>;
  readonly serial: string;
  readonly model: string;
  readonly firmware: string;
  /** Bytes that one command moves at most. */
  readonly mostBytes: number;
  readonly namespaces: readonly Namespace[] = [];
  readonly queue: QueuePair;
  readonly #admin: QueuePair;
  readonly #timeoutMilliseconds: number;

  private constructor(
    registers: DeviceRegisters<typeof layout>,
    admin: QueuePair,
    queue: QueuePair,
    identity: Uint8Array,
    timeoutMilliseconds: number,
  ) {
    const text = (from: number, to: number): string => Buffer.from(identity.subarray(from, to)).toString('latin1').trim();
    this.registers = registers;
    this.#admin = admin;
    this.queue = queue;
    this.serial = text(4, 24);
    this.model = text(24, 64);
    this.firmware = text(64, 72);
    // A list of one page has 512 pages at most.
    this.mostBytes = Math.min(identity[77] === 0 ? Infinity : pageSize << (identity[77] ?? 0), 513 * pageSize);
    this.#timeoutMilliseconds = timeoutMilliseconds;
  }

  /** Resets and enables the controller by the specification, and asks it who it is. */
  static async open({ device, dma }: OpenDevice, { depth = 128, timeoutMilliseconds = 5000 }: ControllerOptions = {}): Promise<Controller> {
    const { mmio, fastMmio } = device.region(0);
    const registers = deviceRegisters(layout, mmio);
    const { CAP, CC, CSTS, AQA, ASQ, ACQ } = registers;
    const most = CAP.get('MQES') + 1;
    const stride = 4 << CAP.get('DSTRD');
    // CAP.TO counts half seconds, of which the controller says how many it may take.
    const ready = { timeoutMilliseconds: 500 * Math.max(1, CAP.get('TO')) };
    CC.change({ EN: 0 });
    await CSTS.until({ RDY: 0 }, ready);
    device.enableBusMaster();
    const adminQueue = new QueuePair(0, adminDepth, dma, fastMmio, stride);
    AQA.write({ ASQS: adminDepth - 1, ACQS: adminDepth - 1 });
    ASQ.write(adminQueue.submissions.iova);
    ACQ.write(adminQueue.completions.iova);
    CC.write({ EN: 1, IOSQES: Math.log2(command.size), IOCQES: Math.log2(completion.size) });
    await CSTS.until({ RDY: 1 }, ready);
    const queue = new QueuePair(1, Math.min(depth, most), dma, fastMmio, stride);
    using page = dma.allocate(pageSize);
    const ask = (what: Command): Promise<number> => run(adminQueue, registers, what, timeoutMilliseconds);
    const identify = async (kind: number, namespace = 0): Promise<Uint8Array> => {
      await ask({ opcode: admin.identify, namespace, data: { iova: page.iova, bytes: pageSize }, dword10: kind });
      return page.bytes.slice();
    };
    const controller = new Controller(registers, adminQueue, queue, await identify(identifyController), timeoutMilliseconds);
    await ask({ opcode: admin.setFeatures, dword10: 0x07, dword11: 0 });
    await ask(creating(admin.createCompletionQueue, queue, queue.completions, 1));
    await ask(creating(admin.createSubmissionQueue, queue, queue.submissions, 1 | (queue.id << 16)));
    const ids = new Uint32Array((await identify(identifyNamespaces)).buffer).filter((id) => id !== 0);
    for (const id of ids) (controller.namespaces as Namespace[]).push(new Namespace(controller, id, await identify(identifyNamespace, id)));
    return controller;
  }

  /** Runs an I/O command to its end; waits where the queue is full. @throws Error with the controller's status. */
  async run(what: Command): Promise<number> {
    return run(this.queue, this.registers, what, this.#timeoutMilliseconds);
  }

  /** Shuts the controller down in order: what it was given is on the medium then. */
  async shutdown(): Promise<void> {
    this.registers.CC.change({ SHN: 'normal' });
    await this.registers.CSTS.until({ SHST: 'complete' }, { timeoutMilliseconds: this.#timeoutMilliseconds });
    this.#admin.abandon(abandoned);
    this.queue.abandon(abandoned);
  }
}

function creating(opcode: number, { id, depth }: QueuePair, { iova }: { readonly iova: bigint }, flags: number): Command {
  return { opcode, data: { iova, bytes: pageSize }, dword10: id | ((depth - 1) << 16), dword11: flags };
}

/** Puts a command in the queue and looks for its end, letting the event loop have its turns. */
async function run(
  queue: QueuePair,
  { CSTS }: DeviceRegisters<typeof layout>,
  what: Command,
  timeoutMilliseconds: number,
): Promise<number> {
  const end = performance.now() + timeoutMilliseconds;
  let outcome: { readonly status: number; readonly result: number } | undefined;
  const turn = async (waitingFor: string): Promise<void> => {
    if (performance.now() > end)
      throw new Error(`Opcode ${what.opcode}: no ${waitingFor} within ${timeoutMilliseconds} ms; ${CSTS.describe(CSTS.read())}`);
    await new Promise(setImmediate);
    if (queue.poll() === 0 && CSTS.get('CFS') === 1) {
      queue.abandon(abandoned);
      throw new Error(`The controller gave up: ${CSTS.describe(CSTS.read())}`);
    }
  };
  while (!queue.put(what, (status, result) => (outcome = { status, result }))) await turn('place in the queue');
  queue.ring();
  queue.poll();
  while (outcome === undefined) await turn('end');
  if (outcome.status === 0) return outcome.result;
  throw new Error(
    `Opcode ${what.opcode} ended with status type ${(outcome.status >> 8) & 7}, code 0x${(outcome.status & 0xff).toString(16)}`,
  );
}
