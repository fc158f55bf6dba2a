import { readPcap, writePcap, type CapturedFrame } from './pcap.js';
import type { WireEnd } from './wire.js';

/**
 * The end of a cable that is a file: `play()` sends the frames of a capture, and what comes is kept, to be written as one.
 * The format is pcap, which tcpdump and Wireshark read and write.
 */
export class Capture implements WireEnd {
  /** What came, oldest first. */
  readonly received: CapturedFrame[] = [];
  readonly #frames: readonly CapturedFrame[];
  #other: WireEnd | undefined;

  /** `file`: the capture to play. Default: none. @throws RangeError when it is not one of Ethernet in the pcap format */
  constructor(file?: Uint8Array) {
    this.#frames = file === undefined ? [] : readPcap(file);
  }

  receive(frame: Uint8Array): void {
    this.received.push({ bytes: frame, time: BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n });
  }

  sendTo(other: WireEnd | undefined): void {
    this.#other = other;
  }

  /** Sends all its frames, one right after the other whatever their times. The capture can be played again. */
  play(): void {
    for (const { bytes } of this.#frames) this.#other?.receive(bytes.slice());
  }

  /** What came, as a pcap file. */
  toPcap(): Uint8Array<ArrayBuffer> {
    return writePcap(this.received);
  }
}
