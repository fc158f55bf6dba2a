/** The registers and descriptors of Intel's 82574L, as its datasheet names them; BAR 0. */
import { struct, u16, u32, u64, volatile } from 'vfio/abi';
import { bit, bits, reg32, registers, type DescriptorRing, type DeviceRegisters } from 'vfio/driver';

export const layout = registers({
  CTRL: reg32(0x0000, { FD: bit(0), GIO_MASTER_DISABLE: bit(2), ASDE: bit(5), SLU: bit(6), RST: bit(26), PHY_RST: bit(31) }),
  STATUS: reg32(0x0008, { FD: bit(0), LU: bit(1), SPEED: bits(6, 2, { '10': 0, '100': 1, '1000': 2 }), GIO_MASTER_ENABLE: bit(19) }),
  EERD: reg32(0x0014, { START: bit(0), DONE: bit(1), ADDR: bits(2, 14), DATA: bits(16, 16) }),
  CTRL_EXT: reg32(0x0018, { DRV_LOAD: bit(28), PBA: bit(31) }),
  ICR: reg32(0x00c0),
  IMS: reg32(0x00d0),
  IMC: reg32(0x00d8),
  EIAC: reg32(0x00dc),
  IVAR: reg32(0x00e4),
  EITR0: reg32(0x00e8),
  EITR1: reg32(0x00ec),
  EITR2: reg32(0x00f0),
  EITR3: reg32(0x00f4),
  EITR4: reg32(0x00f8),
  RCTL: reg32(0x0100, {
    EN: bit(1),
    UPE: bit(3),
    MPE: bit(4),
    LPE: bit(5),
    BAM: bit(15),
    BSIZE: bits(16, 2, { '2048': 0 }),
    SECRC: bit(26),
  }),
  TCTL: reg32(0x0400, { EN: bit(1), PSP: bit(3), CT: bits(4, 8), COLD: bits(12, 10) }),
  TIPG: reg32(0x0410),
  RXCSUM: reg32(0x5000, { IPOFL: bit(8), TUOFL: bit(9), PCSD: bit(13) }),
  RFCTL: reg32(0x5008, { EXTEN: bit(15) }),
  RAL: reg32(0x5400),
  RAH: reg32(0x5404, { ADDR: bits(0, 16), AV: bit(31) }),
  MRQC: reg32(0x5818, { QUEUES: bits(0, 2, { scaled: 1 }), TCP4: bit(16), IP4: bit(17), TCP6: bit(18), IP6: bit(20) }),
  /** The first of many. */
  RETA: reg32(0x5c00),
  RSSRK: reg32(0x5c80),
  CRCERRS: reg32(0x4000),
  RXERRC: reg32(0x400c),
  MPC: reg32(0x4010),
  ECOL: reg32(0x4018),
  LATECOL: reg32(0x4020),
  COLC: reg32(0x4028),
  DC: reg32(0x4030),
  RLEC: reg32(0x4040),
  XOFFRXC: reg32(0x4050),
  XOFFTXC: reg32(0x4054),
  GPRC: reg32(0x4074),
  BPRC: reg32(0x4078),
  MPRC: reg32(0x407c),
  GPTC: reg32(0x4080),
  GORCL: reg32(0x4088),
  GORCH: reg32(0x408c),
  GOTCL: reg32(0x4090),
  GOTCH: reg32(0x4094),
  RNBC: reg32(0x40a0),
  RUC: reg32(0x40a4),
  RFC: reg32(0x40a8),
  ROC: reg32(0x40ac),
  RJC: reg32(0x40b0),
  MPTC: reg32(0x40f0),
  BPTC: reg32(0x40f4),
});

const ring = (base: number) =>
  registers({ BAL: reg32(base), BAH: reg32(base + 0x04), LEN: reg32(base + 0x08), HEAD: reg32(base + 0x10), TAIL: reg32(base + 0x18) });

/** The registers of a queue's ring: RDBAL0 to RDT0 and so on. There are two queues of each kind. */
export const receiveRing = (queue: number) => ring(0x2800 + 0x100 * queue);
export const transmitRing = (queue: number) => ring(0x3800 + 0x100 * queue);
export type RingRegisters = ReturnType<typeof ring>;

/**
 * Of the extended kind. The card writes over the address when it is done. Queues read and write both kinds of descriptors by their four
 * words; what the card writes meanwhile, the third here and the fourth of the other kind, they read as somebody else's.
 */
export const receiveDescriptor = struct('receive_descriptor', {
  address: u64,
  /** In its high byte the errors. */
  status: volatile(u32),
  length: u16,
  tag: u16,
});

export const transmitDescriptor = struct('transmit_descriptor', {
  address: u64,
  /** The frame's length in bytes, and in the high byte the command. */
  order: u32,
  status: volatile(u32),
});

/** Tells the card where a ring is, that has nothing in it yet. */
export function startRing(
  { BAL, BAH, LEN, HEAD, TAIL }: DeviceRegisters<RingRegisters>,
  { iova, count }: DescriptorRing<typeof receiveDescriptor | typeof transmitDescriptor>,
): void {
  BAL.write(Number(iova & 0xffff_ffffn));
  BAH.write(Number(iova >> 32n));
  LEN.write(count * receiveDescriptor.size);
  HEAD.write(0);
  TAIL.write(0);
}

/** Bytes of the blocks that a card is given for frames. */
export const blockSize = 2048;

/** Bits of a descriptor's status, and of a transmit descriptor's order. */
export const descriptorDone = 0x01,
  endOfPacket = 0x02,
  receiveErrors = 0xff00_0000;
export const endOfFrame = 0x01 << 24,
  insertChecksum = 0x02 << 24,
  reportStatus = 0x08 << 24;
