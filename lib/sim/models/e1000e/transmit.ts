/** The sending side: descriptors, and the frames that they are parts of. */
import type { DmaPort } from '../../dma.js';
import { transmitDone, transmitQueue, transmitQueueEmpty } from './causes.js';
import { destinationOf, fillNetworkChecksum, fillTransportChecksum, layersOf, putTag } from './frame.js';
import { CTRL, IVAR, TCTL, VET, type Registers } from './registers.js';
import { descriptorSize, type Ring } from './ring.js';
import { countFrame, sentCounters } from './statistics.js';

const enabled = 1 << 1;
const vlanMode = 1 << 30;
const interruptsAtEveryWriteBack = 0x8000_0000;

/** Of the descriptor's third word. */
const endOfPacket = 1 << 24;
const segments = 1 << 26;
const reports = 1 << 27;
const extended = 1 << 29;
const dataType = 1 << 20;
const tagged = 1 << 30;
const delaysInterrupt = 0x8000_0000;
const lengthMask = 0xffff;
/** Of its fourth. */
const done = 1 << 0;
const [fillsNetwork, fillsTransport] = [1 << 8, 1 << 9];

export interface TransmitHost {
  readonly registers: Registers;
  readonly dma: DmaPort;
  readonly msixEnabled: boolean;
  /** A frame leaves the card. */
  send(frame: Uint8Array): void;
}

/** What became of a run through the ring. */
interface Sent {
  /** Bits of ICR. */
  readonly causes: number;
  /** The driver wants to hear of it later. */
  readonly delayed: boolean;
}

export class TransmitQueue {
  readonly #ring: Ring;
  readonly #cause: number;
  readonly #descriptor = new DataView(new ArrayBuffer(descriptorSize));
  readonly #bytes = new Uint8Array(this.#descriptor.buffer);
  readonly #status = new Uint8Array(this.#descriptor.buffer, 12, 4);
  /** The frame so far. */
  #parts: Uint8Array[] = [];
  #options = 0;
  #segmented = false;

  constructor(ring: Ring, index: 0 | 1) {
    this.#ring = ring;
    this.#cause = transmitQueue[index];
  }

  reset(): void {
    this.#parts = [];
    this.#options = 0;
    this.#segmented = false;
  }

  /** Sends all there is; undefined: sending is off. */
  run(host: TransmitHost): Sent | undefined {
    const { registers, dma } = host;
    if ((registers.get(TCTL) & enabled) === 0) return undefined;
    let causes = transmitQueueEmpty;
    let delayed = false;
    while (!this.#ring.empty) {
      const at = this.#ring.next;
      if (!dma.read(at, this.#bytes)) this.#bytes.fill(0);
      const command = this.#descriptor.getUint32(8, true);
      this.#take(command, host);
      if ((command & reports) !== 0 || (registers.get(IVAR) & interruptsAtEveryWriteBack) !== 0) {
        delayed = (command & delaysInterrupt) !== 0;
        this.#descriptor.setUint32(12, this.#descriptor.getUint32(12, true) | done, true);
        dma.write(at + 12n, this.#status);
        causes |= host.msixEnabled ? this.#cause : transmitDone;
      }
      this.#ring.advance();
    }
    return { causes, delayed };
  }

  #take(command: number, host: TransmitHost): void {
    if ((command & extended) !== 0 && (command & dataType) === 0) return;
    const legacy = (command & extended) === 0;
    const upper = this.#descriptor.getUint32(12, true);
    if (!legacy) this.#options = upper & (fillsNetwork | fillsTransport);
    this.#segmented = !legacy && (command & segments) !== 0;
    const size = command & lengthMask;
    if (size > 0) {
      const part = new Uint8Array(size);
      host.dma.read(this.#descriptor.getBigUint64(0, true), part);
      this.#parts.push(part);
    }
    if ((command & endOfPacket) === 0) return;
    this.#send(join(this.#parts), (command & tagged) === 0 ? undefined : upper >>> 16, host);
    this.reset();
  }

  #send(frame: Uint8Array, tag: number | undefined, { registers, send }: TransmitHost): void {
    const layers = layersOf(frame);
    // Segmentation is not simulated; what is cut off in the middle of a header is not sent either.
    if (layers === undefined || this.#segmented) return;
    if ((this.#options & fillsTransport) !== 0) fillTransportChecksum(frame, layers);
    if ((this.#options & fillsNetwork) !== 0) fillNetworkChecksum(frame, layers);
    const tags = tag !== undefined && (registers.get(CTRL) & vlanMode) !== 0;
    const whole = tags ? putTag(frame, registers.get(VET), tag) : frame;
    send(whole);
    countFrame(registers, sentCounters, { destination: destinationOf(whole), size: whole.byteLength, bytes: whole.byteLength });
  }
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const [only] = parts;
  if (only !== undefined && parts.length === 1) return only;
  const whole = new Uint8Array(parts.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}
