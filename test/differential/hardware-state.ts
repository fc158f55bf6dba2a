/**
 * What a sequence leaves behind in real hardware that no reset takes back: registers, and bytes of configuration space. And where
 * firmware placed the hardware's BARs.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import {
  PCI_BASE_ADDRESS_0,
  PCI_BASE_ADDRESS_5,
  PCI_CAP_ID_PM,
  PCI_CAPABILITY_LIST,
  PCI_INTERRUPT_LINE,
  PCI_PM_CTRL,
  PCI_ROM_ADDRESS,
} from '../../lib/abi/pci.js';
import { check } from '../../lib/kernel/error.js';
import type { Kernel } from '../../lib/kernel/kernel.js';
import { openDevice } from '../../lib/open.js';
import type { PciFunction } from '../../lib/sim/index.js';
import type { Operation } from './operation.js';
import type { Hardware, PciPlace } from './places.js';

/** What firmware decided of a device. */
export interface Placement {
  /** Has a model be placed likewise. */
  give(model: PciFunction): void;
}

const longest = 4096;
const pathOf = (address: string): string => `/sys/bus/pci/devices/${address}/config`;

/** Configuration space as the hardware has it, beside what a driver is shown. */
function configOf(address: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(longest);
  const file = openSync(pathOf(address), 'r');
  try {
    return bytes.subarray(0, readSync(file, bytes, 0, longest, 0));
  } finally {
    closeSync(file);
  }
}

export function placement(address: string): Placement {
  const view = new DataView(configOf(address).buffer);
  return {
    give({ config }) {
      for (let at = PCI_BASE_ADDRESS_0; at <= PCI_BASE_ADDRESS_5; at += 4) config.setUint32(at, view.getUint32(at, true), true);
      config.setUint32(PCI_ROM_ADDRESS, view.getUint32(PCI_ROM_ADDRESS, true), true);
      config.setUint8(PCI_INTERRUPT_LINE, view.getUint8(PCI_INTERRUPT_LINE));
    },
  };
}

/** Where the state of its power is. */
function powerStateAt(config: Uint8Array): number | undefined {
  for (let at = config[PCI_CAPABILITY_LIST] ?? 0; at !== 0; at = config[at + 1] ?? 0)
    if (config[at] === PCI_CAP_ID_PM) return at + PCI_PM_CTRL;
  return undefined;
}

interface Register {
  readonly at: number;
  readonly width: 4 | 8;
  readonly value: number;
}

/** Without a value: what it holds when the run begins. */
type Kept = Omit<Register, 'value'> & Partial<Register>;

const asFound = (first: number, end = first + 4): Kept[] =>
  Array.from({ length: (end - first) / 4 }, (_, index) => ({ at: first + 4 * index, width: 4 }));

const zero = (width: 4 | 8, ...offsets: number[]): Register[] => offsets.map((at) => ({ at, width, value: 0 }));

/** Registers of BAR 0 that a device keeps over a reset, as they are in one that nobody used. */
const kept: Readonly<Partial<Record<Hardware, readonly Kept[]>>> = {
  edu: [
    ...zero(4, 0x20),
    ...zero(8, 0x80, 0x88, 0x90),
    { at: 0x04, width: 4, value: 0xffff_ffff },
    { at: 0x64, width: 4, value: 0xffff_ffff },
  ],
  // Where its admin queues are: firmware looks for a disk to boot from.
  nvme: zero(4, 0x24, 0x28, 0x2c, 0x30, 0x34),
  // All that sequences write: its power cycle loses nothing.
  e1000e: [
    ...[asFound(0x5200, 0x5220), asFound(0x5408, 0x5420), asFound(0x5600, 0x5620), asFound(0x2800, 0x280c)].flat(),
    ...[0x28, 0xe0, 0xe4, 0xe00, 0x2168].flatMap((at) => asFound(at)),
  ],
};

export class HardwareState {
  readonly place: PciPlace;
  readonly #kernel: Kernel;
  readonly #registers: readonly Register[];
  readonly #config: Uint8Array;
  readonly #powerStateAt: number | undefined;

  /** The device, which nobody used and nobody uses. */
  constructor(kernel: Kernel, place: PciPlace) {
    this.place = place;
    this.#kernel = kernel;
    this.#registers = this.#find(kept[place.hardware] ?? []);
    this.openAndPutBack();
    this.#config = configOf(place.address);
    this.#powerStateAt = powerStateAt(this.#config);
  }

  /** With the values of those that have none yet; none of a device that does not open, and so is not changed. */
  #find(registers: readonly Kept[]): readonly Register[] {
    const opened = registers.length === 0 ? undefined : tryOpen(this.#kernel, this.place.address);
    if (opened === undefined) return [];
    using device = opened;
    return registers.map((register) => ({ ...register, value: register.value ?? get(this.#kernel, device.device.fd, register) }));
  }

  /** By one of these files, if one reaches the registers: whether one did. */
  putBack(files: readonly number[]): boolean {
    return this.#registers.length === 0 || files.some((fd) => this.#registers.every((register) => put(this.#kernel, fd, register)));
  }

  /** A device that does not open was not changed. */
  openAndPutBack(): void {
    if (this.#registers.length === 0) return;
    const opened = tryOpen(this.#kernel, this.place.address);
    if (opened === undefined) return;
    using device = opened;
    if (!this.putBack([device.device.fd])) throw new Error(`The registers of ${this.place.name} cannot be put back`);
  }

  /** Writes what changed in configuration space. What cannot be put back is a mistake of the run: the next sequence would find it. */
  restore(): void {
    const changed = this.#changed();
    if (changed.length === 0) return;
    const file = openSync(pathOf(this.place.address), 'r+');
    try {
      for (const at of changed) writeSync(file, this.#config, at, 1, at);
    } finally {
      closeSync(file);
    }
    const [left] = this.#changed();
    if (left !== undefined) throw new Error(`Byte 0x${left.toString(16)} of the configuration of ${this.place.name} cannot be put back`);
  }

  /** The kernel puts devices that nobody has open to sleep in its own time, and wakes them when they are opened. */
  #changed(): number[] {
    const now = configOf(this.place.address);
    return [...this.#config.keys()].filter((at) => now[at] !== this.#config[at] && at !== this.#powerStateAt);
  }
}

function get(kernel: Kernel, fd: number, { at, width }: Kept): number {
  const bytes = new Uint8Array(width);
  check(kernel.pread(fd, bytes, at), { syscall: 'pread' });
  return new DataView(bytes.buffer).getUint32(0, true);
}

function put(kernel: Kernel, fd: number, { at, width, value }: Register): boolean {
  const bytes = new Uint8Array(width);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return kernel.pwrite(fd, bytes, at) === width;
}

function tryOpen(kernel: Kernel, address: string): ReturnType<typeof openDevice> | undefined {
  try {
    return openDevice(kernel, address, { unsafeNoIommu: true });
  } catch (error) {
    if ((error as { code?: string }).code === undefined) throw error;
    return undefined;
  }
}

/** Whether the operation opens the device, by its group or its own node. */
export function uses(operation: Operation, { name }: PciPlace): boolean {
  return operation.call === 'open' && (operation.path === `node ${name}` || operation.path === `group ${name}`);
}
