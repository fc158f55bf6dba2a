/** Regions of devices: registers read and written, by the file and by mappings. */
import { MAP_PRIVATE, MAP_SHARED } from '../../../lib/abi/system.js';
import type { Call, Value, Width } from '../operation.js';
import type { Hardware } from '../places.js';
import { regionOffset } from '../pools.js';
import type { Random } from '../random.js';
import type { LiveFile, World } from '../world.js';
import { on, type Recipe } from './recipe.js';

/** What of a device is read and written: all else depends on time, starts something, or is the host's. */
interface Registers {
  /** Bytes of an access at once. */
  readonly widths: readonly number[];
  /** Registers that may be written with anything, and those that are only read, by region. */
  readonly quiet: Readonly<Record<number, readonly number[]>>;
  readonly readable: Readonly<Record<number, readonly number[]>>;
  /** Those that raise an interrupt or take it back, at once. */
  readonly raising: readonly { readonly at: number; readonly values: readonly number[] }[];
  /** Registers where a write means something, with all that is written to them. */
  readonly meaning: readonly { readonly region: number; readonly at: number; readonly values: readonly number[] }[];
  /** Places on and off the edges of regions, which are read, and where zeros are written. */
  readonly edges: readonly (readonly [region: number, at: number])[];
  /** What may be mapped: region, offset and length. */
  readonly mappings: readonly (readonly [region: number, at: number, length: number])[];
}

const range = (first: number, end: number, step = 4): number[] =>
  Array.from({ length: (end - first) / step }, (_, index) => first + index * step);

/** Where no region begins, or one that has no size. */
const nowhere = [1, 2, 3, 4, 5, 6, 8, 9].flatMap((region) => [0, 1, 0x1000].map((at) => [region, at] as const));

const nothing: Registers = { widths: [1, 2, 4], quiet: {}, readable: {}, raising: [], meaning: [], edges: [], mappings: [] };

const registersOf: Readonly<Record<Hardware, Registers>> = {
  edu: {
    ...nothing,
    // All but those that start the factorial and the transfer.
    quiet: { 0: [0x00, 0x04, 0x20, 0x24, 0x80, 0x88, 0x90] },
    raising: [
      { at: 0x60, values: [1, 1, 2, 0x100, 0xff] },
      { at: 0x64, values: [1, 1, 2, 0x100, 0xff] },
    ],
    edges: [
      ...[0x1, 0x2, 0x3, 0x6, 0x10, 0x40, 0x200, 0x4_0000, 0xf_fffe, 0xf_fffc, 0x10_0000, 0x10_0001, 0x1000_0000].map(
        (at) => [0, at] as const,
      ),
      ...nowhere,
    ],
    mappings: [
      [0, 0, 0x1000],
      [0, 0, 0x10_0000],
      [0, 0x1000, 0x1000],
      [0, 0xf_f000, 0x1000],
      [0, 0xf_f000, 0x2000],
      [0, 0x10_0000, 0x1000],
      ...([1, 6, 7, 8, 9] as const).map((region) => [region, 0, 0x1000] as const),
    ],
  },
  nvme: {
    ...nothing,
    // Interrupt masks, and where the admin queues are.
    quiet: { 0: [0x0c, 0x10, 0x24, 0x28, 0x2c, 0x30, 0x34] },
    readable: { 0: [...range(0, 0x60), 0x1000, 0x1004, 0x1ffc, 0x2000, 0x2004, 0x240c, 0x2410, 0x3000, 0x3008, 0x3ffc] },
    // Enabled and shut down, with sizes of queue entries that none can have: no queue comes to life.
    meaning: [
      { region: 0, at: 0x14, values: [0, 1, 0x4000, 0x8001, 0x61, 0x45_0001] },
      { region: 0, at: 0x1000, values: [0, 1, 0xffff] },
      { region: 0, at: 0x1004, values: [0, 1] },
      { region: 0, at: 0x2000, values: [0, 0xffff_ffff] },
    ],
    edges: [...[0x1, 0x2, 0x3, 0x6, 0x1fff, 0x23fe, 0x3ffe, 0x4000, 0x4001].map((at) => [0, at] as const), ...nowhere],
    mappings: [
      [0, 0, 0x1000],
      [0, 0, 0x2000],
      [0, 0x1000, 0x1000],
      [0, 0x4000, 0x1000],
      [1, 0, 0x1000],
    ],
  },
  e1000e: {
    ...nothing,
    // Addresses of receivers, multicast and VLAN tables, rings of a card that neither sends nor receives.
    quiet: {
      0: [
        ...range(0x5200, 0x5220),
        ...range(0x5408, 0x5420),
        ...range(0x5600, 0x5620),
        0x28,
        0xe0,
        0xe4,
        0xe00,
        0x2168,
        0x2800,
        0x2804,
        0x2808,
      ],
    },
    readable: {
      0: [...range(0, 0x40), ...range(0xc4, 0x120), ...range(0x2800, 0x2840), 0x3800, 0x5000, 0x5400, 0x5404, 0x5b50, 0x1_0000],
      1: [0, 4],
      2: [0, 4, 8, 0x1c],
      3: [0, 4, 8, 0x2000],
    },
    meaning: [{ region: 3, at: 0, values: [0, 0xffff_ffff] }],
    // Off the bounds of a table's entries: its first registers change what others read as, and are not put back by writing them.
    edges: [
      ...[0x5201, 0x5202, 0x5203, 0x5206, 0x1_fffc, 0x1_fffe, 0x2_0000, 0x2_0001].map((at) => [0, at] as const),
      ...([
        [1, 0x1_fffe],
        [1, 0x2_0000],
        [2, 0x1e],
        [2, 0x20],
        [3, 0x4e],
        [3, 0x50],
        [3, 0x3ffe],
        [3, 0x4000],
        [6, 0x4_0000],
      ] as const),
      ...([4, 5, 8, 9] as const).map((region) => [region, 0] as const),
    ],
    mappings: [
      [0, 0, 0x1000],
      [0, 0, 0x2_0000],
      [0, 0x5000, 0x1000],
      [0, 0x2_0000, 0x1000],
      [1, 0, 0x1000],
      [2, 0, 0x1000],
      [3, 0x1000, 0x1000],
      [4, 0, 0x1000],
      [6, 0, 0x1000],
    ],
  },
  // Ports that loop back what they are given: a byte each.
  mtty: {
    ...nothing,
    widths: [1],
    quiet: { 0: range(0, 8, 1), 1: range(0, 8, 1) },
    edges: [8, 9].map((region) => [region, 0] as const),
    mappings: [[0, 0, 0x1000]],
  },
  // The screen's memory, which lies behind configuration space in the file.
  mdpy: { ...nothing, widths: [1, 4], quiet: { 0: [0x1000, 0x1004, 0x1800] }, mappings: [[0, 0x1000, 0x1000]] },
  // And behind the card's registers and the monitor's.
  mbochs: {
    ...nothing,
    widths: [4],
    quiet: { 0: [0x2008, 0x2014, 0x2800, 0x2804, 0x3000, 0x3004, 0x3800] },
    readable: { 0: [0x1000, 0x1400, 0x2000, 0x2004] },
    mappings: [
      [0, 0x3000, 0x1000],
      [0, 0x1000, 0x1000],
    ],
  },
};

/** What raises an interrupt, by the device's own registers. */
export function raises(hardware: Hardware, region: number, at: number): boolean {
  return region === 0 && registersOf[hardware].raising.some((register) => register.at === at);
}

/** Has an edu take its interrupts back. */
export function acknowledge(file: Value): Call {
  return { call: 'pwrite', file, offset: '0x64', bytes: [255, 255, 255, 255] };
}

function access(file: LiveFile, random: Random, world: World): Call {
  const registers = registersOf[world.hardware(file)];
  const kind = random.below(10);
  if (kind < 2 && registers.raising.length > 0) {
    const { at, values } = random.pick(registers.raising) ?? { at: 0, values: [] };
    return random.chance(0.6) ? write(file, 0, at, 4, random.pick(values) ?? 0) : read(file, 0, at, 4);
  }
  if (kind < 4 && registers.meaning.length > 0) {
    const { region, at, values } = random.pick(registers.meaning) ?? { region: 0, at: 0, values: [] };
    return random.chance(0.7) ? write(file, region, at, 4, random.pick(values) ?? 0) : read(file, region, at, 4);
  }
  if (kind < 8) {
    const writes = random.chance(0.4);
    const [region, at] = anyRegister(random, writes ? registers.quiet : random.chance(0.5) ? registers.quiet : registers.readable) ?? [
      0, 0,
    ];
    const width = random.pick([...registers.widths, ...(registers.widths.includes(4) ? [4, 4, 4] : [])]) ?? 4;
    if (writes && registers.quiet[region]?.includes(at) === true) return write(file, region, at, width, anyNumber(random));
    return read(file, region, at, width);
  }
  const edge = random.pick(registers.edges);
  const [region, at] = edge ?? anyRegister(random, registers.quiet) ?? [0, 0];
  const length =
    edge === undefined || registers.widths.length === 1 ? (registers.widths[0] ?? 1) : random.pick([0, 1, 2, 3, 4, 5, 8, 8, 12, 16]);
  if (edge !== undefined && length <= 4 && random.chance(0.3)) return pwrite(file, region, at, Array<number>(length).fill(0));
  return read(file, region, at, length);
}

const anyNumber = (random: Random): number => random.pick([0, 1, 0x5a, 0xff, 0x1234_5678, 0xffff_ffff, random.below(256)]);

function anyRegister(random: Random, registers: Readonly<Record<number, readonly number[]>>): [region: number, at: number] | undefined {
  const all = Object.entries(registers).flatMap(([region, offsets]) => offsets.map((at): [number, number] => [Number(region), at]));
  return random.pick(all);
}

const read = (file: LiveFile, region: number, at: number, length: number): Call => ({
  ...{ call: 'pread', file: file.ref },
  ...{ offset: regionOffset(region, at), length },
});

const pwrite = (file: LiveFile, region: number, at: number, bytes: readonly number[]): Call => ({
  ...{ call: 'pwrite', file: file.ref },
  ...{ offset: regionOffset(region, at), bytes },
});

const write = (file: LiveFile, region: number, at: number, width: number, value: number): Call =>
  pwrite(
    file,
    region,
    at,
    Array.from({ length: width }, (_, index) => (value >>> (8 * index)) & 0xff),
  );

function map(file: LiveFile, random: Random, world: World): Call {
  const [region, at, length] = random.pick(registersOf[world.hardware(file)].mappings) ?? [0, 0, 0x1000];
  return {
    ...{ call: 'mmap', file: file.ref },
    length: random.chance(0.85) ? length : random.pick([0x800, 0x2000, 0x20_0000]),
    protection: random.pick([3, 3, 1, 2, 0]),
    flags: random.chance(0.9) ? MAP_SHARED : MAP_PRIVATE,
    offset: regionOffset(region, at),
  };
}

/** A register by a mapping. */
function touch(random: Random, world: World): readonly Call[] {
  const mapping = random.pick(world.mappings);
  if (mapping === undefined) return [];
  const { ref, hardware, region, start, length } = mapping;
  if (random.chance(0.15)) return [{ call: 'munmap', mapping: ref }];
  const { quiet, raising } = registersOf[hardware];
  const raised = region === 0 && random.chance(0.2) ? raising.map(({ at }) => at) : [];
  const known = [...(raised.length > 0 ? raised : (quiet[region] ?? []))].filter((at) => at >= start && at < start + length);
  const at = random.pick(known);
  if (at === undefined) return [];
  const width: Width = random.chance(0.75) ? 4 : random.pick([1, 2, 8] as const);
  const offset = Math.floor((at - start) / width) * width;
  if (random.chance(0.6) || width === 8) return [{ call: 'load', mapping: ref, offset, width }];
  return [{ call: 'store', mapping: ref, offset, width, value: random.pick<Value>([0, 1, 0x5a, 0x1234_5678]) }];
}

const isDevice = (file: LiveFile): boolean => file.kind === 'device';

export const registerRecipes: readonly Recipe[] = [
  on(16, (file) => isDevice(file) && file.ready, access),
  on(1, (file) => isDevice(file) && !file.ready, access),
  on(3, isDevice, map),
  { weight: 6, make: touch },
];
