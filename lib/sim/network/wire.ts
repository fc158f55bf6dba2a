/** What can be at the end of a network cable: a card, a capture, a test. */
export interface WireEnd {
  /** A frame arrives, without its checksum. The bytes are the receiver's. */
  receive(frame: Uint8Array): void;
  /** Where its own frames go from now on; undefined: nowhere. */
  sendTo(other: WireEnd | undefined): void;
}

/** Joins two ends: what one sends, the other receives at once. Either may have been elsewhere before. */
export function wire(one: WireEnd, other: WireEnd): void {
  one.sendTo(other);
  other.sendTo(one);
}
