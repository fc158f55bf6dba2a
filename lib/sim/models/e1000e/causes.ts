/** Why the card interrupts: bits of ICR, and of the registers that set and mask them. */
export const transmitDone = 1 << 0;
export const transmitQueueEmpty = 1 << 1;
export const linkChanged = 1 << 2;
export const fewBuffers = 1 << 4;
export const overrun = 1 << 6;
export const received = 1 << 7;
export const phyAccessed = 1 << 9;
export const smallPacket = 1 << 16;
export const acknowledgement = 1 << 17;
const management = 1 << 18;
/** With MSI-X queues have causes of their own, and what is of no queue has one together. */
export const receiveQueue = [1 << 20, 1 << 21] as const;
export const transmitQueue = [1 << 22, 1 << 23] as const;
export const other = 1 << 24;
export const asserted = 0x8000_0000;

export const otherCauses = linkChanged | overrun | phyAccessed | smallPacket | acknowledgement | management;
/** Those that can be enabled. */
export const maskable =
  transmitDone |
  transmitQueueEmpty |
  linkChanged |
  fewBuffers |
  overrun |
  received |
  phyAccessed |
  (1 << 15) |
  smallPacket |
  acknowledgement |
  management |
  receiveQueue[0] |
  receiveQueue[1] |
  transmitQueue[0] |
  transmitQueue[1] |
  other;

/** Those that wait for a timer. */
export const delayableReceive = received | receiveQueue[0] | receiveQueue[1];
export const delayableTransmit = transmitDone | transmitQueueEmpty | transmitQueue[0] | transmitQueue[1];
