/** The registers of an 82574L, by the names of its datasheet: offsets in BAR 0 in bytes. */
export const CTRL = 0x00;
export const CTRL_DUP = 0x04;
export const STATUS = 0x08;
export const EECD = 0x10;
export const EERD = 0x14;
export const CTRL_EXT = 0x18;
export const MDIC = 0x20;
export const FCAH = 0x2c;
export const FCT = 0x30;
export const VET = 0x38;
export const ICR = 0xc0;
export const ITR = 0xc4;
export const ICS = 0xc8;
export const IMS = 0xd0;
export const IMC = 0xd8;
export const EIAC = 0xdc;
export const IAM = 0xe0;
export const IVAR = 0xe4;
export const EITR = 0xe8;
export const RCTL = 0x100;
export const FCTTV = 0x170;
export const TCTL = 0x400;
export const EEWR = 0x102c;
export const FCRTL = 0x2160;
export const FCRTH = 0x2168;
export const PSRCTL = 0x2170;
export const RDTR = 0x2820;
export const RXDCTL = 0x2828;
export const RADV = 0x282c;
export const RXDCTL1 = 0x2928;
export const RSRPD = 0x2c00;
export const RAID = 0x2c08;
export const TIDV = 0x3820;
export const TADV = 0x382c;
export const TARC0 = 0x3840;
export const TARC1 = 0x3940;
export const IAC = 0x4100;
export const RXCSUM = 0x5000;
export const RFCTL = 0x5008;
export const MTA = 0x5200;
export const RA = 0x5400;
export const VFTA = 0x5600;
export const MRQC = 0x5818;
export const GCR = 0x5b00;
export const SWSM = 0x5b50;
export const PBACLR = 0x5b68;
export const RETA = 0x5c00;
export const RSSRK = 0x5c80;

/** Registers of a descriptor ring: those of the first transmit and receive queue, and 0x100 further on the second's. */
export const receiveRing = 0x2800;
export const transmitRing = 0x3800;
export const nextRing = 0x100;
export const ringRegisters = { addressLow: 0x00, addressHigh: 0x04, length: 0x08, head: 0x10, tail: 0x18 } as const;

/** Interrupt vectors and their throttling registers. */
export const vectors = 5;

type Range = readonly [first: number, last: number];

const each = (...offsets: readonly number[]): Range[] => offsets.map((offset) => [offset, offset]);
const rings = (offset: number): Range[] =>
  each(...[receiveRing, transmitRing].flatMap((ring) => [ring + offset, ring + nextRing + offset]));

/** Registers that are read as they are: what was written, or what the card put there. */
const readable: readonly Range[] = [
  ...each(0x1c, 0x28, EIAC, IAM, IVAR, 0x410, 0xe00, 0xf00, 0xf08, 0xf10, 0x1000, 0x1010, 0x1050, RXDCTL1, 0x3828, 0x3928),
  ...each(0x5808, 0x5810, MRQC, 0x5820, 0x5824, 0x5828, 0x5830, 0x5838, 0x5860, 0x5b08, 0x5b64, 0x4028, 0x40a0, 0x40a8, 0x40c8, 0x40fc),
  ...each(CTRL, STATUS, EECD, EERD, EEWR, CTRL_EXT, MDIC, VET, FCAH, FCT, FCTTV, RCTL, TCTL, FCRTL, FCRTH, PSRCTL, RDTR, RXDCTL),
  ...each(RADV, RSRPD, RAID, TADV, TARC0, TARC1, RXCSUM, RFCTL, GCR, SWSM, PBACLR, 0x458, 0x1008, 0x1028, 0x5f40, 0x4088, 0x4090),
  ...each(ICS, IMS),
  ...Object.values(ringRegisters).flatMap(rings),
  ...([0x2410, 0x3410] as const).flatMap((fifo) => each(fifo, fifo + 8, fifo + 0x10, fifo + 0x18, fifo + 0x20)),
  ...([
    [0x1014, 0x1020],
    [0x1030, 0x103c],
    [0x4000, 0x4020],
    [0x4030, 0x4040],
    [0x4048, 0x4058],
    [0x40b0, 0x40c0],
    [0x5010, 0x501c],
    [MTA, 0x5400],
    [0x5404, 0x547c],
    [VFTA, 0x5800],
    [0x5840, 0x5858],
    [0x5880, 0x58ac],
    [0x5a00, 0x5a7c],
    [0x5b10, 0x5b30],
    [0x5c00, 0x5cfc],
    [0x5f00, 0x5f28],
    [0x9000, 0x93f8],
    [0x9400, 0x97f8],
    [0x9800, 0x9bf8],
    [0xb600, 0xb638],
    [0x1_0000, 0x1_9ffc],
  ] as const),
];

/** Of the readable ones those that a driver cannot write. */
const readOnly: readonly Range[] = [
  ...each(0x4028, 0x40a0, 0x40a8, 0x40c8, 0x40fc, 0x4088, 0x4090, ICS, IMS),
  [0x1014, 0x1020],
  [0x4000, 0x4020],
  [0x4030, 0x4040],
  [0x4048, 0x4054],
  [0x40b0, 0x40c0],
];

/** Registers that are cleared when they are read; those of 64 bits when their upper half is. */
const counters: readonly Range[] = [[0x405c, 0x4080], ...each(0x40a4, 0x40ac, IAC), [0x40d0, 0x40f8]];
const longCounters = [0x408c, 0x4094, 0x40c4, 0x40cc] as const;

/** Bits that can be read, where it is not all of them. */
const readMasks: readonly (readonly [Range, number])[] = [
  ...([0x2410, 0x3410] as const).map((fifo): [Range, number] => [[fifo, fifo + 0x20], 0x1fff]),
  [[0x458, 0x458], 0xffff],
  [[0x1008, 0x1008], 0x3f],
  [[0x5f00, 0x5f28], 0x7ff],
  [[0x9000, 0x93f8], 0xf],
  [[TARC0, TARC0], 0x7800_07ff],
  [[TARC1, TARC1], 0x7800_07ff],
];

/** Bits that a write reaches, where it is not all of them; the others become zero. */
const writeMasks: readonly (readonly [Range, number])[] = [
  ...[FCAH, FCT, FCTTV, VET, RDTR, TIDV, RADV, RAID, TADV, 0x1028, 0x5f40].map((at): [Range, number] => [[at, at], 0xffff]),
  ...[ringRegisters.head, ringRegisters.tail].flatMap((at) => rings(at).map((range): [Range, number] => [range, 0xffff])),
  ...rings(ringRegisters.addressLow).map((range): [Range, number] => [range, 0xffff_fff0]),
  ...rings(ringRegisters.length).map((range): [Range, number] => [range, 0xf_ff80]),
  [[RSRPD, RSRPD], 0xfff],
  [[FCRTH, FCRTH], 0xfff8],
  [[FCRTL, FCRTL], 0x8000_fff8],
  [[PBACLR, PBACLR], 0x1f],
];

/** Other places where registers are found too. */
const aliases: readonly (readonly [Range, number])[] = [
  [[0x40, 0xbc], RA],
  [[0x108, 0x108], RDTR],
  [[0x110, 0x118], receiveRing],
  [[0x120, 0x120], receiveRing + ringRegisters.head],
  [[0x128, 0x128], receiveRing + ringRegisters.tail],
  [[0x160, 0x160], FCRTH],
  [[0x168, 0x168], FCRTL],
  [[0x420, 0x428], transmitRing],
  [[0x430, 0x430], transmitRing + ringRegisters.head],
  [[0x438, 0x438], transmitRing + ringRegisters.tail],
  [[0x440, 0x440], TIDV],
  [[0x600, 0x7fc], VFTA],
  [[0x8000, 0x8000], 0x2410],
  [[0x8008, 0x8008], 0x2418],
  [[0x8010, 0x8010], 0x3410],
  [[0x8018, 0x8018], 0x3418],
];

const registerCount = 0x8000;
const plain = 0;
/** What reading and writing a register does, by its offset divided by 4. */
const readMask = new Uint32Array(registerCount);
const writeMask = new Uint32Array(registerCount);
const clears = new Uint8Array(registerCount);
const target = Uint16Array.from({ length: registerCount }, (_, index) => index);

function fill(table: Uint32Array | Uint8Array, ranges: readonly Range[], value: number): void {
  for (const [first, last] of ranges) table.fill(value, first >> 2, (last >> 2) + 1);
}

fill(readMask, [...readable, ...counters, ...each(...longCounters)], 0xffff_ffff);
fill(writeMask, [...readable, ...each(TIDV)], 0xffff_ffff);
fill(writeMask, readOnly, plain);
fill(clears, counters, 1);
fill(clears, each(...longCounters), 2);
for (const [range, mask] of readMasks) fill(readMask, [range], mask);
for (const [range, mask] of writeMasks) fill(writeMask, [range], mask);
for (const [[first, last], to] of aliases) for (let at = first; at <= last; at += 4) target[at >> 2] = (to + at - first) >> 2;

/** The offset of the register that is found at an offset of the BAR. */
export function registerAt(offset: number): number {
  return (target[(offset & 0x1_ffff) >> 2] ?? 0) << 2;
}

/** The registers themselves: numbers of 32 bits by offset. */
export class Registers {
  readonly #values = new Uint32Array(registerCount);

  get(offset: number): number {
    return this.#values[offset >> 2] ?? 0;
  }

  set(offset: number, value: number): void {
    this.#values[offset >> 2] = value;
  }

  /** Counts up to the largest number there is. */
  count(offset: number): void {
    const value = this.get(offset);
    if (value !== 0xffff_ffff) this.set(offset, value + 1);
  }

  /** Adds to a number of 64 bits. */
  countBytes(offset: number, bytes: number): void {
    const sum = this.get(offset) + bytes;
    this.set(offset, sum);
    if (sum > 0xffff_ffff) this.set(offset + 4, this.get(offset + 4) + 1);
  }

  /** What a driver reads, with what reading does. */
  read(offset: number): number {
    const value = this.get(offset) & (readMask[offset >> 2] ?? 0);
    const cleared = clears[offset >> 2] ?? 0;
    if (cleared > 0) this.set(offset, 0);
    if (cleared > 1) this.set(offset - 4, 0);
    return value >>> 0;
  }

  /** What a driver writes, where writing does no more than that. */
  write(offset: number, value: number): void {
    const mask = writeMask[offset >> 2] ?? 0;
    if (mask !== 0) this.set(offset, value & mask);
  }

  reset(values: Readonly<Record<number, number>>): void {
    this.#values.fill(0);
    for (const [offset, value] of Object.entries(values)) this.set(Number(offset), value);
  }
}
