/** Configuration space: what drivers do with it, and what they should not. */
import {
  PCI_BASE_ADDRESS_0,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_IO,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_EXP_DEVCTL,
  PCI_EXP_DEVCTL_BCR_FLR,
  PCI_EXP_LNKCTL,
  PCI_INTERRUPT_LINE,
  PCI_MSIX_FLAGS,
  PCI_MSI_ADDRESS_LO,
  PCI_MSI_FLAGS,
  PCI_PM_CTRL,
  PCI_PM_PMC,
  PCI_ROM_ADDRESS,
  PCI_STATUS,
} from '../../../lib/abi/pci.js';
import { VFIO_PCI_CONFIG_REGION_INDEX } from '../../../lib/abi/vfio/region.js';
import type { Call } from '../operation.js';
import type { Hardware } from '../places.js';
import { regionOffset } from '../pools.js';
import type { Random } from '../random.js';
import type { LiveFile, World } from '../world.js';
import { on, type Recipe } from './recipe.js';

/** Where its capabilities lie. */
interface Layout {
  readonly size: number;
  readonly msi?: number;
  readonly msix?: number;
  readonly power?: number;
  readonly express?: number;
  readonly extended?: readonly number[];
  /** Bytes that belong to nothing. */
  readonly unassigned: readonly number[];
}

const layouts: Readonly<Partial<Record<Hardware, Layout>>> = {
  edu: { size: 0x100, msi: 0x40, unassigned: [0x50, 0x51, 0x7e, 0xfc, 0xff] },
  nvme: { size: 0x1000, msix: 0x40, power: 0x60, express: 0x80, unassigned: [0x50, 0x6b, 0xbc, 0xfe, 0x104, 0x800, 0xffc] },
  e1000e: {
    ...{ size: 0x1000, msix: 0xa0, power: 0xc8, msi: 0xd0, express: 0xe0, extended: [0x100, 0x140] },
    unassigned: [0x40, 0x9c, 0xb0, 0xfc, 0x150, 0x800, 0xffc],
  },
};

/** What a driver writes on purpose: the register, its width and values. */
interface Register {
  readonly at: number;
  readonly width: 1 | 2 | 4;
  readonly values: readonly number[];
}

const usualCommand = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;

function registersOf({ msi, msix, power, express, extended = [], unassigned }: Layout): Register[] {
  const registers: Register[] = [
    {
      ...{ at: PCI_COMMAND, width: 2 },
      values: [usualCommand, usualCommand | PCI_COMMAND_IO, usualCommand | PCI_COMMAND_INTX_DISABLE, PCI_COMMAND_MEMORY, 0, 0xffff],
    },
    { at: PCI_COMMAND, width: 1, values: [usualCommand, 0] },
    { at: PCI_COMMAND + 1, width: 1, values: [0, PCI_COMMAND_INTX_DISABLE >> 8] },
    { at: PCI_STATUS, width: 2, values: [0xffff, 0] },
    { at: PCI_INTERRUPT_LINE, width: 1, values: [0, 5, 0xff] },
    { at: PCI_ROM_ADDRESS, width: 4, values: [0xffff_f800, 0xffff_ffff, 1, 0] },
  ];
  for (let bar = 0; bar < 6; bar += 1)
    registers.push({ at: PCI_BASE_ADDRESS_0 + 4 * bar, width: 4, values: [0xffff_ffff, 0xffff_ffff, 0, 0xfe80_0000, 0xc001] });
  if (msi !== undefined)
    registers.push(
      { at: msi + PCI_MSI_FLAGS, width: 2, values: [0, 1, 0x10, 0x71, 0xffff] },
      { at: msi + PCI_MSI_ADDRESS_LO, width: 4, values: [0, 0xfee0_0000, 0xffff_ffff] },
    );
  if (msix !== undefined) registers.push({ at: msix + PCI_MSIX_FLAGS, width: 2, values: [0, 0x8000, 0xc000, 0xffff] });
  if (power !== undefined)
    registers.push(
      { at: power + PCI_PM_CTRL, width: 2, values: [0, 0, 0, 3, 3, 1, 2, 0xffff, 0x100] },
      { at: power + PCI_PM_PMC, width: 2, values: [0, 0xffff] },
    );
  if (express !== undefined)
    registers.push(
      { at: express + PCI_EXP_DEVCTL, width: 2, values: [0, PCI_EXP_DEVCTL_BCR_FLR, 0x2810, 0x5000, 0x7000, 0x0010] },
      { at: express + PCI_EXP_LNKCTL, width: 2, values: [0, 0xffff] },
    );
  for (const at of extended)
    for (const offset of [0, 4, 8, 0x14, 0x18]) registers.push({ at: at + offset, width: 4, values: [0, 0xffff_ffff] });
  for (const at of unassigned) registers.push({ at, width: 1, values: [0, 0x5a, 0xff] });
  return registers;
}

const known = new Map(
  Object.entries(layouts).map(([hardware, layout]) => [hardware as Hardware, { layout, registers: registersOf(layout) }]),
);

const hasLayout = (file: LiveFile, world: World): boolean => file.kind === 'device' && known.has(world.hardware(file));

function bytesOf(value: number, width: number): number[] {
  return Array.from({ length: width }, (_, index) => (value >>> (8 * index)) & 0xff);
}

const read = (file: LiveFile, at: number, length: number): Call => ({
  ...{ call: 'pread', file: file.ref },
  ...{ offset: regionOffset(VFIO_PCI_CONFIG_REGION_INDEX, at), length },
});

const write = (file: LiveFile, at: number, bytes: readonly number[]): Call => ({
  ...{ call: 'pwrite', file: file.ref },
  ...{ offset: regionOffset(VFIO_PCI_CONFIG_REGION_INDEX, at), bytes },
});

/** A register that means something, and then what it says. */
function purposeful(file: LiveFile, random: Random, world: World): readonly Call[] {
  const { registers = [] } = known.get(world.hardware(file)) ?? {};
  const register = random.pick(registers);
  if (register === undefined) return [];
  const { at, width, values } = register;
  const written = write(file, at, bytesOf(random.pick(values) ?? 0, width));
  return random.chance(0.5) ? [written, read(file, at, random.chance(0.8) ? width : 4)] : [written];
}

/** Any bytes at all. */
function anything(file: LiveFile, random: Random, world: World): readonly Call[] {
  const { layout = { size: 0x100, unassigned: [] }, registers = [] } = known.get(world.hardware(file)) ?? {};
  const near = (random.pick(registers)?.at ?? 0) + random.below(9) - 4;
  const at = random.chance(0.5) ? Math.max(0, near) : random.chance(0.7) ? random.below(0x100) : random.below(layout.size + 8);
  if (random.chance(0.6)) return [read(file, at, random.pick([1, 2, 4, 4, 3, 5, 8, 16, 64, 0x100, 0]))];
  const length = random.pick([1, 1, 2, 2, 4, 4, 3, 5, 8, 0]);
  const filling = random.pick([0, 0xff, undefined]);
  return [
    write(
      file,
      at,
      Array.from({ length }, () => filling ?? random.below(0x100)),
    ),
  ];
}

/** Registers of a mediated device's: its driver knows few, and accesses past the end are an accident of its memory. */
function mediated(file: LiveFile, random: Random): Call {
  const at = random.chance(0.5) ? random.pick([0x10, 0x14, 0x18, 0x3c]) : 4 * random.below(0x3f);
  return random.chance(0.7)
    ? read(file, at, random.pick([1, 2, 4, 8]))
    : write(file, at, bytesOf(random.pick([0, 0xffff_ffff, 0xfe80_0001]), 4));
}

const isMediated = (file: LiveFile, world: World): boolean => file.kind === 'device' && !known.has(world.hardware(file));

export const configRecipes: readonly Recipe[] = [
  on(8, (file, world) => file.ready && hasLayout(file, world), purposeful),
  on(8, (file, world) => file.ready && hasLayout(file, world), anything),
  on(1, (file, world) => !file.ready && hasLayout(file, world), anything),
  on(4, isMediated, (file, random) => mediated(file, random)),
];
