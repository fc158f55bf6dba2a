/** Message-signalled interrupts of a function: which are on, which are masked, and which wait until they are not. */
import {
  PCI_MSI_FLAGS,
  PCI_MSI_FLAGS_64BIT,
  PCI_MSI_FLAGS_ENABLE,
  PCI_MSI_FLAGS_MASKBIT,
  PCI_MSI_FLAGS_QMASK,
  PCI_MSI_FLAGS_QSIZE,
  PCI_MSI_MASK_32,
  PCI_MSI_MASK_64,
  PCI_MSI_PENDING_32,
  PCI_MSI_PENDING_64,
  PCI_MSIX_ENTRY_CTRL_MASKBIT,
  PCI_MSIX_ENTRY_SIZE,
  PCI_MSIX_ENTRY_VECTOR_CTRL,
  PCI_MSIX_FLAGS,
  PCI_MSIX_FLAGS_ENABLE,
  PCI_MSIX_FLAGS_MASKALL,
  PCI_MSIX_FLAGS_QSIZE,
  PCI_MSIX_PBA,
  PCI_MSIX_TABLE,
  PCI_MSIX_TABLE_BIR,
  PCI_MSIX_TABLE_OFFSET,
} from '../../abi/pci.js';
import { loadBytes, storeBytes, type Width } from '../mapping.js';
import { adjustedRead, adjustedWrite, type AccessRules } from './bar.js';

/** A part of a BAR. */
export interface Window {
  readonly bar: number;
  readonly start: number;
  readonly end: number;
}

/** QEMU's table and pending bits know accesses of 4 bytes, and take one of 8 for two. */
const tableAccess: AccessRules = { valid: [4, 8], implemented: [4, 4] };

function windowAt(register: number, size: number): Window {
  const start = (register & PCI_MSIX_TABLE_OFFSET) >>> 0;
  return { bar: register & PCI_MSIX_TABLE_BIR, start, end: start + size };
}

/** MSI-X: where the capability lies in configuration space, and its table and pending bits. */
export class MsixTable {
  readonly vectors: number;
  /** @internal */
  readonly table: Window;
  /** @internal */
  readonly pendingBits: Window;
  readonly #config: DataView;
  /** Where the capability lies in configuration space. */
  readonly at: number;
  readonly #entries: DataView<ArrayBuffer>;
  readonly #pending: DataView<ArrayBuffer>;
  readonly #afterEnabling: () => void;

  constructor(config: DataView, at: number, afterEnabling: () => void) {
    this.#config = config;
    this.at = at;
    this.#afterEnabling = afterEnabling;
    this.vectors = (config.getUint16(at + PCI_MSIX_FLAGS, true) & PCI_MSIX_FLAGS_QSIZE) + 1;
    this.#entries = new DataView(new ArrayBuffer(this.vectors * PCI_MSIX_ENTRY_SIZE));
    this.#pending = new DataView(new ArrayBuffer(Math.ceil(this.vectors / 64) * 8));
    this.table = windowAt(config.getUint32(at + PCI_MSIX_TABLE, true), this.#entries.byteLength);
    this.pendingBits = windowAt(config.getUint32(at + PCI_MSIX_PBA, true), this.#pending.byteLength);
    this.reset();
  }

  get enabled(): boolean {
    return (this.#flags & PCI_MSIX_FLAGS_ENABLE) !== 0;
  }

  set enabled(on: boolean) {
    this.#config.setUint16(this.at + PCI_MSIX_FLAGS, on ? this.#flags | PCI_MSIX_FLAGS_ENABLE : this.#flags & ~PCI_MSIX_FLAGS_ENABLE, true);
    if (on) this.#afterEnabling();
  }

  masked(vector: number): boolean {
    const control = this.#entries.getUint32(vector * PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL, true);
    return (this.#flags & PCI_MSIX_FLAGS_MASKALL) !== 0 || (control & PCI_MSIX_ENTRY_CTRL_MASKBIT) !== 0;
  }

  pending(vector: number): boolean {
    return (this.#pending.getUint8(vector >> 3) & (1 << (vector & 7))) !== 0;
  }

  setPending(vector: number, on: boolean): void {
    const bits = this.#pending.getUint8(vector >> 3);
    this.#pending.setUint8(vector >> 3, on ? bits | (1 << (vector & 7)) : bits & ~(1 << (vector & 7)));
  }

  /** Every entry is empty and masked. */
  reset(): void {
    this.#config.setUint16(this.at + PCI_MSIX_FLAGS, this.#flags & ~(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL), true);
    for (let at = 0; at < this.#entries.byteLength; at += 4) this.#entries.setUint32(at, 0, true);
    for (let vector = 0; vector < this.vectors; vector += 1) {
      this.#entries.setUint32(vector * PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL, PCI_MSIX_ENTRY_CTRL_MASKBIT, true);
      this.setPending(vector, false);
    }
  }

  /** What is read where the table or the pending bits are; undefined elsewhere. */
  read(bar: number, offset: number, width: Width): bigint | undefined {
    for (const [window, memory] of [[this.table, this.#entries] as const, [this.pendingBits, this.#pending] as const])
      if (covers(window, bar, offset))
        return adjustedRead(tableAccess, offset - window.start, width, (at, size) => loadBytes(bytesOf(memory), at, size));
    return undefined;
  }

  /** Whether the write went into the table, or was dropped in the pending bits. */
  write(bar: number, offset: number, width: Width, value: bigint): boolean {
    if (covers(this.pendingBits, bar, offset)) return true;
    if (!covers(this.table, bar, offset)) return false;
    adjustedWrite(tableAccess, offset - this.table.start, width, value, (at, size, part) => {
      storeBytes(bytesOf(this.#entries), at, size, part);
    });
    return true;
  }

  get #flags(): number {
    return this.#config.getUint16(this.at + PCI_MSIX_FLAGS, true);
  }
}

function covers({ bar, start, end }: Window, where: number, offset: number): boolean {
  return bar === where && offset >= start && offset < end;
}

const bytesOf = (memory: DataView<ArrayBuffer>): Uint8Array => new Uint8Array(memory.buffer);

/** MSI: where the capability lies in configuration space. */
export class MsiRegisters {
  readonly #config: DataView;
  /** Where the capability lies in configuration space. */
  readonly at: number;
  readonly #afterEnabling: () => void;

  constructor(config: DataView, at: number, afterEnabling: () => void) {
    this.#config = config;
    this.at = at;
    this.#afterEnabling = afterEnabling;
  }

  /** How many the function has. */
  get vectors(): number {
    return 1 << ((this.#flags & PCI_MSI_FLAGS_QMASK) >> 1);
  }

  /** How many it was given: log2. */
  set queue(size: number) {
    this.#flags = (this.#flags & ~PCI_MSI_FLAGS_QSIZE) | (size << 4);
  }

  get enabled(): boolean {
    return (this.#flags & PCI_MSI_FLAGS_ENABLE) !== 0;
  }

  set enabled(on: boolean) {
    this.#flags = on ? this.#flags | PCI_MSI_FLAGS_ENABLE : this.#flags & ~PCI_MSI_FLAGS_ENABLE;
    if (on) this.#afterEnabling();
  }

  get maskable(): boolean {
    return (this.#flags & PCI_MSI_FLAGS_MASKBIT) !== 0;
  }

  /** Where in configuration space the bits are that mask its vectors, if it has them. */
  get maskAt(): number | undefined {
    return this.maskable ? this.#mask : undefined;
  }

  masked(vector: number): boolean {
    return this.maskable && (this.#config.getUint32(this.#mask, true) & (1 << vector)) !== 0;
  }

  pending(vector: number): boolean {
    return this.maskable && (this.#config.getUint32(this.#pending, true) & (1 << vector)) !== 0;
  }

  setPending(vector: number, on: boolean): void {
    setBit(this.#config, this.#pending, vector, on);
  }

  reset(): void {
    this.#flags &= ~(PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
    if (!this.maskable) return;
    this.#config.setUint32(this.#mask, 0, true);
    this.#config.setUint32(this.#pending, 0, true);
  }

  get #flags(): number {
    return this.#config.getUint16(this.at + PCI_MSI_FLAGS, true);
  }

  set #flags(flags: number) {
    this.#config.setUint16(this.at + PCI_MSI_FLAGS, flags, true);
  }

  get #wide(): boolean {
    return (this.#flags & PCI_MSI_FLAGS_64BIT) !== 0;
  }

  get #mask(): number {
    return this.at + (this.#wide ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32);
  }

  get #pending(): number {
    return this.at + (this.#wide ? PCI_MSI_PENDING_64 : PCI_MSI_PENDING_32);
  }
}

function setBit(config: DataView, at: number, bit: number, on: boolean): void {
  const bits = config.getUint32(at, true);
  config.setUint32(at, on ? bits | (1 << bit) : bits & ~(1 << bit), true);
}
