/**
 * Configuration space of a real device as its hardware has it, beside what a driver of it is shown: where firmware placed its
 * BARs, and what a sequence leaves behind that no reset takes back.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { PCI_BASE_ADDRESS_0, PCI_BASE_ADDRESS_5, PCI_INTERRUPT_LINE, PCI_ROM_ADDRESS } from '../../lib/abi/pci.js';
import type { PciFunction } from '../../lib/sim/index.js';

/** What firmware decided of a device. */
export interface Placement {
  /** Has a model be placed likewise. */
  give(model: PciFunction): void;
}

const longest = 4096;

function configOf(address: string): Uint8Array {
  const bytes = new Uint8Array(longest);
  const file = openSync(pathOf(address), 'r');
  try {
    return bytes.subarray(0, readSync(file, bytes, 0, longest, 0));
  } finally {
    closeSync(file);
  }
}

const pathOf = (address: string): string => `/sys/bus/pci/devices/${address}/config`;

export function placement(address: string): Placement {
  const config = configOf(address);
  const view = new DataView(config.buffer);
  return {
    give({ config }) {
      for (let at = PCI_BASE_ADDRESS_0; at <= PCI_BASE_ADDRESS_5; at += 4) config.setUint32(at, view.getUint32(at, true), true);
      config.setUint32(PCI_ROM_ADDRESS, view.getUint32(PCI_ROM_ADDRESS, true), true);
      config.setUint8(PCI_INTERRUPT_LINE, view.getUint8(PCI_INTERRUPT_LINE));
    },
  };
}

/** Configuration space of a device that nobody uses, to be put back after each use. */
export class HardwareState {
  readonly #address: string;
  readonly #before: Uint8Array;

  constructor(address: string) {
    this.#address = address;
    this.#before = configOf(address);
  }

  /** Writes what changed. What cannot be written back is a mistake of the run: the next sequence would begin with it. */
  restore(): void {
    const changed = this.#changed();
    if (changed.length === 0) return;
    const file = openSync(pathOf(this.#address), 'r+');
    try {
      for (const at of changed) writeSync(file, this.#before, at, 1, at);
    } finally {
      closeSync(file);
    }
    const [left] = this.#changed();
    if (left !== undefined) throw new Error(`Byte 0x${left.toString(16)} of the configuration of ${this.#address} cannot be put back`);
  }

  #changed(): number[] {
    const now = configOf(this.#address);
    return [...this.#before.keys()].filter((at) => now[at] !== this.#before[at]);
  }
}
