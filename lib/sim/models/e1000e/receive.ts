/** The receiving side: where a frame goes, and what its descriptors say of it. */
import type { DmaPort } from '../../dma.js';
import { acknowledgement, fewBuffers, received, receiveQueue, smallPacket } from './causes.js';
import { destinationOf, layersOf, networkChecksumValid, takeTag, transportChecksumValid, word, type Layers } from './frame.js';
import { takes } from './filter.js';
import { CTRL, RCTL, RFCTL, RSRPD, RXCSUM, VET, type Registers } from './registers.js';
import { descriptorSize, type Ring } from './ring.js';
import { scale, type Scaled } from './scaling.js';
import { countFrame, oversized, receivedCounters, undersized } from './statistics.js';

const storesBad = 1 << 2;
const longFrames = 1 << 5;
const largeBuffers = 1 << 25;
const stripsChecksum = 1 << 26;
const vlanMode = 1 << 30;
const [extendedDescriptors, ignoresAcknowledgements, ignoresDataAcknowledgements] = [1 << 15, 1 << 12, 1 << 13];
const [ignoresIpv6, ignoresIpv6Checksums] = [1 << 10, 1 << 11];
const [checksNetwork, checksTransport, hashesInstead] = [1 << 8, 1 << 9, 1 << 13];
const smallestFrame = 60;
const [largestFrame, largestLongFrame] = [1522, 16 * 1024];
const checksumSize = 4;

/** Bits of a descriptor's status. */
const [done, endOfPacket, tagStripped] = [1 << 0, 1 << 1, 1 << 3];
const [udpChecked, transportChecked, networkChecked] = [1 << 4, 1 << 5, 1 << 6];
const identificationValid = 1 << 9;
const isAcknowledgement = 1 << 15;
const [transportWrong, networkWrong] = [1 << 29, 1 << 30];
const packetTypes = { plain: 0, ipv4: 1, ipv4Transport: 2, ipv6: 5, ipv6Transport: 6 } as const;

interface Metadata {
  readonly status: number;
  readonly identification: number;
  readonly tag: number;
  /** Where flows are shared out over queues, and there is no checksum in its place. */
  readonly scaled: Scaled | undefined;
}

const notTheLast: Metadata = { status: done, identification: 0, tag: 0, scaled: undefined };

/** How RCTL wants it, since it was enabled. */
interface Shape {
  /** Bytes of a buffer. */
  readonly bufferSize: number;
  readonly extended: boolean;
  /** The ring's size, in bytes, shifted by this, is how few buffers are few. */
  readonly thresholdShift: number;
}

export class Receiver {
  readonly #rings: readonly [Ring, Ring];
  readonly #registers: Registers;
  readonly #descriptor = new DataView(new ArrayBuffer(descriptorSize));
  readonly #bytes = new Uint8Array(this.#descriptor.buffer);
  #shape: Shape = { bufferSize: 0, extended: false, thresholdShift: 5 };

  constructor(rings: readonly [Ring, Ring], registers: Registers) {
    this.#rings = rings;
    this.#registers = registers;
  }

  /** RCTL was written, and receiving is on. */
  configure(): void {
    const control = this.#registers.get(RCTL);
    this.#shape = {
      bufferSize: bufferSizeOf(control),
      extended: (this.#registers.get(RFCTL) & extendedDescriptors) !== 0,
      thresholdShift: ((control >>> 8) & 3) + 5,
    };
  }

  reset(): void {
    this.#shape = { ...this.#shape, thresholdShift: 5 };
  }

  /** Whether there is a buffer at all, for any queue. */
  get hasRoom(): boolean {
    return this.#rings.some((ring) => ring.size > 0 && ring.count * this.#shape.bufferSize >= 1);
  }

  /** Takes a frame: the causes to interrupt for, 0 where it was not for this card; or undefined, for want of buffers. */
  take(given: Uint8Array, dma: DmaPort, msixEnabled: boolean): number | undefined {
    const registers = this.#registers;
    let frame = given;
    if (frame.byteLength < smallestFrame) {
      frame = new Uint8Array(smallestFrame);
      frame.set(given);
      registers.count(undersized);
    }
    if (this.#tooLong(frame.byteLength)) {
      registers.count(oversized);
      return 0;
    }
    if (!takes(registers, frame)) return 0;
    const destination = destinationOf(frame);
    const stripped = (registers.get(CTRL) & vlanMode) === 0 ? undefined : takeTag(frame, registers.get(VET));
    frame = stripped?.frame ?? frame;
    const total = frame.byteLength + ((registers.get(RCTL) & stripsChecksum) === 0 ? checksumSize : 0);
    const layers = layersOf(frame);
    const scaled = scale(registers, frame, layers);
    const queue = scaled?.queue ?? 0;
    const ring = this.#rings[queue];
    if (total > ring.count * this.#shape.bufferSize) return undefined;
    const acknowledges = this.#acknowledges(frame, layers);
    const metadata = { ...this.#describe(frame, layers, acknowledges, stripped?.tag), scaled };
    const whole = this.#store(ring, frame, total, dma, metadata);
    if (whole) countFrame(registers, receivedCounters, { destination, size: total, bytes: frame.byteLength + checksumSize });
    const few = ring.count === ring.size >> this.#shape.thresholdShift;
    return (
      (total < registers.get(RSRPD) ? smallPacket : 0) |
      ((registers.get(RFCTL) & ignoresAcknowledgements) === 0 && acknowledges ? acknowledgement : 0) |
      (msixEnabled ? receiveQueue[queue] : received | (few ? fewBuffers : 0))
    );
  }

  #tooLong(size: number): boolean {
    const control = this.#registers.get(RCTL);
    if ((control & storesBad) !== 0) return false;
    return size > largestLongFrame || (size > largestFrame && (control & longFrames) === 0);
  }

  #acknowledges(frame: Uint8Array, layers: Layers | undefined): boolean {
    if (layers?.transport !== 'tcp' || layers.fragment) return false;
    const header = ((frame[layers.transportAt + 12] ?? 0) >> 4) * 4;
    const payload =
      layers.network === 'ipv4'
        ? word(frame, layers.networkAt + 2) - (layers.transportAt - layers.networkAt)
        : word(frame, layers.networkAt + 4);
    const isBare = payload === header;
    const flagged = ((frame[layers.transportAt + 13] ?? 0) & 0x10) !== 0;
    return flagged && (isBare || (this.#registers.get(RFCTL) & ignoresDataAcknowledgements) === 0);
  }

  #describe(frame: Uint8Array, layers: Layers | undefined, acknowledges: boolean, tag: number | undefined): Omit<Metadata, 'scaled'> {
    const [checksums, filters] = [this.#registers.get(RXCSUM), this.#registers.get(RFCTL)];
    const { network, transport } = layers ?? {};
    let status = done | endOfPacket | (tag === undefined ? 0 : tagStripped) | (acknowledges ? isAcknowledgement : 0);
    let identification = 0;
    if (layers !== undefined && network === 'ipv4' && (checksums & hashesInstead) === 0) {
      status |= identificationValid;
      identification = word(frame, layers.networkAt + 4);
    }
    if (network === 'ipv6' && (filters & ignoresIpv6) !== 0) status |= packetTypes.plain << 16;
    else if (network !== undefined) status |= packetTypes[transport === undefined ? network : (`${network}Transport` as const)] << 16;
    if (layers !== undefined && !(network === 'ipv6' && (filters & ignoresIpv6Checksums) !== 0))
      status |= checksumStatus(frame, layers, checksums);
    return { status, identification, tag: tag ?? 0 };
  }

  /** False: the ring ended before, since descriptors without a buffer are passed over. */
  #store(ring: Ring, frame: Uint8Array, total: number, dma: DmaPort, metadata: Metadata): boolean {
    for (let done = 0; done < total; ) {
      if (ring.empty) return false;
      const at = ring.next;
      if (!dma.read(at, this.#bytes)) this.#bytes.fill(0);
      const buffer = this.#descriptor.getBigUint64(0, true);
      let size = 0;
      if (buffer !== 0n) {
        // Behind the frame there is room for its checksum, in a buffer of its own.
        const inFrame = done < frame.byteLength;
        size = Math.min(this.#shape.bufferSize, (inFrame ? frame.byteLength : total) - done);
        dma.write(buffer, inFrame ? frame.subarray(done, done + size) : new Uint8Array(size));
        done += size;
      }
      this.#writeBack(at, size, done >= total ? metadata : notTheLast, dma);
      ring.advance();
    }
    return true;
  }

  #writeBack(at: bigint, size: number, { status, identification, tag, scaled }: Metadata, dma: DmaPort): void {
    const descriptor = this.#descriptor;
    if (this.#shape.extended) {
      descriptor.setUint32(0, scaled === undefined ? 0 : scaled.type | (scaled.queue << 8), true);
      descriptor.setUint32(4, scaled?.hash ?? identification, true);
      descriptor.setUint32(8, status, true);
      descriptor.setUint16(12, size, true);
      descriptor.setUint16(14, tag, true);
    } else {
      descriptor.setUint16(8, size, true);
      descriptor.setUint16(10, 0, true);
      descriptor.setUint8(12, status & 0xff);
      descriptor.setUint8(13, status >>> 24);
      if ((status & tagStripped) !== 0) descriptor.setUint16(14, tag, true);
    }
    dma.write(at, this.#bytes);
  }
}

function checksumStatus(frame: Uint8Array, layers: Layers, enabled: number): number {
  let status = 0;
  if ((enabled & checksNetwork) !== 0 && layers.network === 'ipv4')
    status |= networkChecked | (networkChecksumValid(frame, layers) ? 0 : networkWrong);
  const valid = (enabled & checksTransport) === 0 ? undefined : transportChecksumValid(frame, layers);
  if (valid !== undefined) status |= transportChecked | (layers.transport === 'udp' ? udpChecked : 0) | (valid ? 0 : transportWrong);
  return status;
}

/** Bytes of a buffer, by RCTL. */
function bufferSizeOf(control: number): number {
  const flexible = (control >>> 27) & 0xf;
  if (flexible !== 0) return flexible * 1024;
  const choice = (control >>> 16) & 3;
  if ((control & largeBuffers) !== 0) return [2048, 16384, 8192, 4096][choice] ?? 2048;
  return [2048, 1024, 512, 256][choice] ?? 2048;
}
