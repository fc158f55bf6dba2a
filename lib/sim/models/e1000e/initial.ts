/** What the card's registers and memories hold after a reset. */
import * as r from './registers.js';

/** The shortest time between interrupts, in units of 256 ns. */
export const shortestInterval = 500;

export const initialRegisters: Readonly<Record<number, number>> = {
  [r.CTRL]: 0x0014_0241,
  [r.STATUS]: 0x0000_0202,
  [r.EECD]: 0x0000_0300,
  [r.EERD]: 0x2,
  [r.EEWR]: 0x2,
  [r.ITR]: shortestInterval,
  ...Object.fromEntries(Array.from({ length: r.vectors }, (_, index) => [r.EITR + 4 * index, shortestInterval])),
  [r.PSRCTL]: 0x0004_0402,
  [r.RXDCTL]: 0x1_0000,
  [r.RXDCTL1]: 0x1_0000,
  [r.TARC0]: 0x403,
  [r.TARC1]: 0x403,
  [r.RXCSUM]: 0x300,
  [r.VET]: 0x8100,
  [r.GCR]: 0x0680_0200,
  [r.SWSM]: 1,
  0x410: 0x0060_2008, // TIPG
  0xe00: 0x0006_8302, // LEDCTL
  0xf00: 0x8, // EXTCNF_CTRL
  0xf10: 0x30d, // POEMB
  0x1000: 0x0014_0014, // PBA
  0x1008: 0x28, // PBS
  0x1010: 0x8000_0000, // EEMNGCTL
  0x1028: 0x2, // FLASHT
  0x1030: 0xc000_0000, // FLSWCTL
  0x1050: 0x1, // FLOL
  0x3410: 0x600, // TDFH
  0x3418: 0x600, // TDFT
  0x3420: 0x600, // TDFHS
  0x3428: 0x600, // TDFTS
  0x5820: 0x1000_0000, // MANC
  0x5b30: 0x2000_0004, // FACTPS
  0xb634: 0x88f7, // RXCFGL
  0xb638: 0x319, // RXUDP
};

/** The memory that the card is set up from: words of 16 bits, with the address of the station first and a checksum last. */
export function nonVolatileMemory(station: Uint8Array): Uint16Array {
  const words = new Uint16Array(64);
  words.set([0, 0, 0, 0x0420, 0xf746, 0x2010, 0xffff, 0xffff, 0, 0, 0x026b, 0, 0x8086, 0, 0, 0x8058]);
  words.set([0x0000, 0x2001, 0x7e7c, 0xffff, 0x1000, 0x00c8, 0x0000, 0x2704, 0x6cc9, 0x3150, 0x070e, 0x460b], 16);
  words.set([0x2d84, 0x0100, 0xf000, 0x0706, 0x6000, 0x0080, 0x0f04, 0x7fff, 0x4f01, 0xc600, 0x0000, 0x20ff], 28);
  words.set([0x0028, 0x0003, 0, 0, 0, 0x0003, 0, 0xffff, 0x0100, 0xc000, 0x121c, 0xc007], 40);
  words.fill(0xffff, 52);
  words.set([0x0000, 0x0120], 60);
  for (let index = 0; index < 3; index += 1) words[index] = (station[2 * index] ?? 0) | ((station[2 * index + 1] ?? 0) << 8);
  words[11] = words[13] = 0x10d3;
  const sum = words.subarray(0, 63).reduce((total, word) => total + word, 0);
  words[63] = 0xbaba - sum;
  return words;
}
