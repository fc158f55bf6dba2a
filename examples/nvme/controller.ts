import { Resource, type Interrupt, type OpenDevice } from 'vfio';
import { deviceRegisters } from 'vfio/driver';
import { Attendant } from './attendant.js';
import { checkedInteger } from './checks.js';
import { ShadowDoorbells } from './doorbell.js';
import { admin, identifyController, identifyNamespace, identifyNamespaces, layout, pageSize } from './layout.js';
import { Namespace } from './namespace.js';
import { disable, enable, examine, examineWorking, halt, shutDown, type ControllerRegisters } from './power.js';
import { QueuePair, type Command } from './queue-pair.js';
import { abandoned, CommandError } from './status.js';

export interface ControllerOptions {
  /** Places in each I/O queue, from 2 to what the controller has; one of them stays empty. Default: 128, or what it has. */
  readonly depth?: number;
  /**
   * How it is known that commands have ended: by MSI-X, while this process sleeps; or by looking, again and again, which takes
   * the processor and is faster. Default: 'interrupts'.
   */
  readonly completion?: 'interrupts' | 'polling';
  /** Doorbells in memory, where the controller has them, as emulated ones do. Default: true. */
  readonly shadowDoorbells?: boolean;
  /** As long as a command may take, and a shutdown. Default: 5000. */
  readonly timeoutMilliseconds?: number;
}

const adminDepth = 32;
/** MSI-X vectors: of the admin queue, which always has the first, and of the I/O queue. */
const vectorCount = 2;
const contiguous = 1 << 0;
const interruptsEnabled = 1 << 1;
/** Of what a controller says of itself, the optional admin commands: Doorbell Buffer Config. */
const hasShadowDoorbells = 1 << 8;

/** What is to be closed when a controller is: each of them, whatever fails. */
class Held extends Resource {
  protected override release(): void {}
}

/**
 * An NVMe controller that was reset and enabled, with one pair of I/O queues. Close it before the device.
 *
 * A command that does not end in time, and a controller that fails, is gone, or is wanted back by the host, ends it: it is
 * stopped, so that it writes to no memory any more, and only then all commands in flight end with an error. When the host wants
 * the device back it gets it: the device is closed, too.
 */
export class Controller {
  readonly registers: ControllerRegisters;
  readonly completion: 'interrupts' | 'polling';
  readonly namespaces: Namespace[] = [];
  readonly #opened: OpenDevice;
  readonly #held = new Held('NVMe controller');
  readonly #timeoutMilliseconds: number;
  #identity = new Uint8Array(pageSize);
  #admin: Attendant | undefined;
  #io: Attendant | undefined;
  /** Why it works no more, and until it is stopped. */
  #failure: Error | undefined;
  #stopped: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  private constructor(opened: OpenDevice, { completion = 'interrupts', timeoutMilliseconds = 5000 }: ControllerOptions) {
    if (!(timeoutMilliseconds > 0))
      throw new RangeError(`Expected a number above 0 for timeoutMilliseconds but received ${timeoutMilliseconds}`);
    if (completion !== 'interrupts' && completion !== 'polling')
      throw new RangeError(`Expected 'interrupts' or 'polling' for completion but received '${String(completion)}'`);
    this.#opened = opened;
    this.registers = deviceRegisters(layout, opened.device.region(0).mmio);
    this.completion = completion;
    this.#timeoutMilliseconds = timeoutMilliseconds;
  }

  /**
   * Resets and enables the controller by the specification, and asks it who it is. A failure leaves it stopped, and nothing behind.
   * @throws RangeError for what it cannot do, before anything is done; Error, KernelError
   */
  static async open(opened: OpenDevice, options: ControllerOptions = {}): Promise<Controller> {
    const controller = new Controller(opened, options);
    examine(controller.registers);
    const { CAP } = controller.registers;
    const most = CAP.get('MQES') + 1;
    const depth = checkedInteger('depth', options.depth ?? Math.min(128, most), 2, most);
    if (CAP.get('MPSMIN') > 0) throw new Error('The controller has no pages of 4096 bytes, with which this driver works');
    try {
      await controller.#bringUp(depth, options.shadowDoorbells ?? true);
      return controller;
    } catch (error) {
      await controller.#fail(error);
      controller.#release();
      throw error;
    }
  }

  get serial(): string {
    return this.#text(4, 24);
  }
  get model(): string {
    return this.#text(24, 64);
  }
  get firmware(): string {
    return this.#text(64, 72);
  }

  /** Bytes that one command moves at most. */
  get mostBytes(): number {
    const power = this.#identity[77] ?? 0;
    // A list of one page has 512 pages at most, and the first is not in it.
    return Math.min(power === 0 ? Infinity : pageSize * 2 ** power, 513 * pageSize);
  }

  /** The I/O queue, for those who put commands in it themselves: first look with `assertWorking`, and `attend`. */
  get io(): Attendant {
    if (this.#io === undefined) throw new Error('The controller has no I/O queue yet');
    return this.#io;
  }

  /** Runs an I/O command to its end. @throws CommandError with the controller's status; Error when the controller fails. */
  run(command: Command): Promise<number> {
    return this.#run(this.io, command);
  }

  /** @throws Error when the controller has failed or is closed. */
  assertWorking(): void {
    if (this.#closed !== undefined) throw new Error('The controller is closed');
    if (this.#failure !== undefined) throw new Error(`The controller has failed: ${this.#failure.message}`, { cause: this.#failure });
  }

  /**
   * Waits for what is in flight, shuts the controller down, so that what it was given is on the medium, and stops it. Whatever
   * fails, everything is closed in the end. Of a controller that has failed there is nothing to shut down.
   * @throws Error when it could not be shut down.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #bringUp(depth: number, shadowDoorbells: boolean): Promise<void> {
    const { device, dma } = this.#opened;
    const { registers } = this;
    await disable(registers);
    device.enableBusMaster();
    const vectors = this.completion === 'interrupts' ? this.#enableInterrupts() : [];
    this.#listenToHost();
    const place = { dma, mmio: device.region(0).fastMmio, doorbellStride: 4 << registers.CAP.get('DSTRD') };
    const attendant = (id: number, depth: number, shadow?: ShadowDoorbells): Attendant =>
      new Attendant({
        queue: new QueuePair(id, depth, this.#held, { ...place, shadow }),
        vector: vectors[id],
        timeoutMilliseconds: this.#timeoutMilliseconds,
        examine: () => examineWorking(registers),
        fail: (error) => this.#fail(error),
      });
    this.#admin = attendant(0, adminDepth);
    await enable(registers, this.#admin.queue);
    using page = dma.allocate(pageSize);
    const identify = async (kind: number, namespace = 0): Promise<Uint8Array<ArrayBuffer>> => {
      await this.#administer({ opcode: admin.identify, namespace, data: { iova: page.iova, bytes: pageSize }, dword10: kind });
      return page.bytes.slice();
    };
    this.#identity = await identify(identifyController);
    await this.#administer({ opcode: admin.setFeatures, dword10: 0x07, dword11: 0 });
    this.#io = attendant(1, depth, shadowDoorbells ? await this.#shadowDoorbells() : undefined);
    await this.#createQueues(this.#io.queue, vectors.length > 0);
    const ids = new Uint32Array((await identify(identifyNamespaces)).buffer).filter((id) => id !== 0);
    for (const id of ids) this.namespaces.push(new Namespace(this, id, await identify(identifyNamespace, id)));
  }

  #enableInterrupts(): readonly Interrupt[] {
    const interrupts = this.#opened.device.interrupt('msix');
    const { count } = interrupts.info;
    if (count < vectorCount)
      throw new Error(
        `The controller has ${count} MSI-X vectors, of which this driver takes ${vectorCount}: open it with { completion: 'polling' }`,
      );
    this.#held.afterwards(() => interrupts.disable());
    return interrupts.enable(vectorCount);
  }

  /** The host waits until the device is closed. */
  #listenToHost(): void {
    const { device } = this.#opened;
    if (device.interrupt('req').info.count === 0) return;
    const end = device.onRequest(() => void this.#giveBack());
    this.#held.afterwards(end);
  }

  async #giveBack(): Promise<void> {
    await this.#fail(this.#reason('The host wants the device back'));
    this.#release();
    this.#opened.close();
  }

  /** What is wrong with the controller, or else that. */
  #reason(text: string): unknown {
    try {
      examine(this.registers);
      return new Error(text);
    } catch (error) {
      return error;
    }
  }

  async #shadowDoorbells(): Promise<ShadowDoorbells | undefined> {
    const optional = (this.#identity[256] ?? 0) | ((this.#identity[257] ?? 0) << 8);
    if ((optional & hasShadowDoorbells) === 0) return undefined;
    const shadow = new ShadowDoorbells(this.#opened.dma, this.#held);
    const { iova, size } = shadow.buffer;
    await this.#administer({ opcode: admin.configureDoorbells, data: { iova, bytes: size } });
    return shadow;
  }

  async #createQueues({ id, depth, submissions, completions }: QueuePair, interrupts: boolean): Promise<void> {
    const dword10 = id | ((depth - 1) << 16);
    await this.#administer({
      opcode: admin.createCompletionQueue,
      data: { iova: completions.iova, bytes: pageSize },
      dword10,
      dword11: contiguous | (interrupts ? interruptsEnabled | (id << 16) : 0),
    });
    await this.#administer({
      opcode: admin.createSubmissionQueue,
      data: { iova: submissions.iova, bytes: pageSize },
      dword10,
      dword11: contiguous | (id << 16),
    });
  }

  #administer(command: Command): Promise<number> {
    if (this.#admin === undefined) throw new Error('The controller has no admin queue yet');
    return this.#run(this.#admin, command);
  }

  #run(attendant: Attendant, command: Command): Promise<number> {
    return new Promise((resolve, reject) => {
      this.assertWorking();
      attendant.submit(command, (status, result) => {
        if (status === 0) resolve(result);
        else reject(status === abandoned ? this.#failure : new CommandError(command.opcode, status));
      });
    });
  }

  #fail(error: unknown): Promise<void> {
    this.#failure ??= this.#opened.closed ? new Error('The device was closed under the controller', { cause: error }) : asError(error);
    this.#stopped ??= this.#stop(this.#failure);
    return this.#stopped;
  }

  /** First the controller, then the commands: those whom they belong to take their memory back when they hear of the end. */
  async #stop(failure: Error): Promise<void> {
    try {
      await halt(this.registers, this.#opened.device);
    } catch (reason) {
      failure.cause ??= reason;
    }
    this.#admin?.abandon(abandoned);
    this.#io?.abandon(abandoned);
  }

  async #close(): Promise<void> {
    try {
      await this.#io?.attend();
      if (this.#failure === undefined && !this.#opened.closed) await shutDown(this.registers, this.#timeoutMilliseconds);
    } finally {
      await this.#fail(new Error('The controller is closed'));
      this.#held.close();
    }
  }

  /** Where an error is on its way already. */
  #release(): void {
    try {
      this.#held.close();
    } catch (reason) {
      if (this.#failure !== undefined) this.#failure.cause ??= reason;
    }
  }

  #text(from: number, to: number): string {
    return Buffer.from(this.#identity.subarray(from, to)).toString('latin1').trim();
  }
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
