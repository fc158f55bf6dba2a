/** What a function's configuration space can have beside its header: a list of structures that drivers look through. */
import {
  PCI_AF_CAP,
  PCI_AF_CAP_FLR,
  PCI_AF_CAP_TP,
  PCI_AF_CTRL,
  PCI_AF_CTRL_FLR,
  PCI_AF_LENGTH,
  PCI_CAP_AF_SIZEOF,
  PCI_CAP_EXP_ENDPOINT_SIZEOF_V1,
  PCI_CAP_ID_AF,
  PCI_CAP_ID_EXP,
  PCI_CAP_ID_MSI,
  PCI_CAP_ID_MSIX,
  PCI_CAP_ID_PM,
  PCI_CAP_ID_VNDR,
  PCI_CAP_ID_VPD,
  PCI_CAP_MSIX_SIZEOF,
  PCI_CAP_VPD_SIZEOF,
  PCI_EXP_DEVCAP,
  PCI_EXP_DEVCAP2,
  PCI_EXP_DEVCAP_FLR,
  PCI_EXP_DEVCAP_RBER,
  PCI_EXP_DEVCTL,
  PCI_EXP_DEVCTL2,
  PCI_EXP_DEVCTL_BCR_FLR,
  PCI_EXP_FLAGS,
  PCI_EXP_LNKCAP,
  PCI_EXP_LNKSTA,
  PCI_EXP_TYPE_ENDPOINT,
  PCI_EXP_TYPE_LEG_END,
  PCI_MSI_ADDRESS_HI,
  PCI_MSI_ADDRESS_LO,
  PCI_MSI_DATA_32,
  PCI_MSI_DATA_64,
  PCI_MSI_FLAGS,
  PCI_MSI_FLAGS_64BIT,
  PCI_MSI_FLAGS_ENABLE,
  PCI_MSI_FLAGS_MASKBIT,
  PCI_MSI_FLAGS_QSIZE,
  PCI_MSI_MASK_32,
  PCI_MSI_MASK_64,
  PCI_MSIX_ENTRY_SIZE,
  PCI_MSIX_FLAGS,
  PCI_MSIX_FLAGS_ENABLE,
  PCI_MSIX_FLAGS_MASKALL,
  PCI_MSIX_PBA,
  PCI_MSIX_TABLE,
  PCI_PM_CTRL,
  PCI_PM_CTRL_NO_SOFT_RESET,
  PCI_PM_CTRL_PME_ENABLE,
  PCI_PM_CTRL_PME_STATUS,
  PCI_PM_CTRL_STATE_MASK,
  PCI_PM_PMC,
  PCI_PM_SIZEOF,
} from '../../abi/pci.js';
import { expected } from '../../kernel/error.js';

/** Registers of configuration space, with what a write does to them. Offsets are from its start; little-endian. */
export class Capability {
  readonly id: number;
  /** Where it lies; undefined: after what stands before it. */
  readonly at: number | undefined;
  readonly contents: DataView<ArrayBuffer>;
  /** Bits that can be written. */
  readonly writable: DataView<ArrayBuffer>;
  /** Bits that a write of 1 clears. */
  readonly clearable: DataView<ArrayBuffer>;

  /** `size` is in bytes, the header that links it with others among them. */
  constructor(id: number, size: number, at?: number) {
    if (at !== undefined && at % 4 !== 0) throw expected('a multiple of 4', 'at', at);
    this.id = id;
    this.at = at;
    this.contents = new DataView(new ArrayBuffer(size));
    this.writable = new DataView(new ArrayBuffer(size));
    this.clearable = new DataView(new ArrayBuffer(size));
  }

  /** A register of 1 byte: what it holds, which bits can be written, and which a write of 1 clears. */
  byte(offset: number, value: number, writable = 0, clearable = 0): this {
    this.contents.setUint8(offset, value);
    this.writable.setUint8(offset, writable);
    this.clearable.setUint8(offset, clearable);
    return this;
  }

  /** A register of 2 bytes. */
  word(offset: number, value: number, writable = 0, clearable = 0): this {
    this.contents.setUint16(offset, value, true);
    this.writable.setUint16(offset, writable, true);
    this.clearable.setUint16(offset, clearable, true);
    return this;
  }

  /** A register of 4 bytes. */
  dword(offset: number, value: number, writable = 0, clearable = 0): this {
    this.contents.setUint32(offset, value, true);
    this.writable.setUint32(offset, writable, true);
    this.clearable.setUint32(offset, clearable, true);
    return this;
  }
}

/** @inline */
interface Placed {
  /** Its offset in configuration space, a multiple of 4. Default: after the capability before it. */
  readonly at?: number;
}

export interface PowerManagementOptions extends Placed {
  /** The register PMC: version, and what power states it can be in and wake the machine from. Default: version 3, D0 and D3. */
  readonly capabilities?: number;
  /** It keeps its registers over D3. Default: true; else the way back from D3 resets it. */
  readonly keepsRegisters?: boolean;
  /** It can wake the machine: bits of the control register for that. Default: none. */
  readonly wakes?: number;
}

/** Power management: the states D0 and D3hot, which a driver sets. */
export function powerManagement({ at, capabilities = 3, keepsRegisters = true, wakes = 0 }: PowerManagementOptions = {}): Capability {
  const status = (wakes & PCI_PM_CTRL_PME_ENABLE) === 0 ? 0 : PCI_PM_CTRL_PME_STATUS;
  return new Capability(PCI_CAP_ID_PM, PCI_PM_SIZEOF, at)
    .word(PCI_PM_PMC, capabilities)
    .word(PCI_PM_CTRL, keepsRegisters ? PCI_PM_CTRL_NO_SOFT_RESET : 0, PCI_PM_CTRL_STATE_MASK | wakes, status);
}

export interface MsiOptions extends Placed {
  /** How many: a power of two, 32 at most. Default: 1. */
  readonly vectors?: number;
  /** Whether messages can go to 64-bit addresses. Default: true. */
  readonly wide?: boolean;
  /** Whether vectors can be masked one by one. Default: false. */
  readonly maskable?: boolean;
}

/** Message-signalled interrupts. */
export function msi({ at, vectors = 1, wide = true, maskable = false }: MsiOptions = {}): Capability {
  if (![1, 2, 4, 8, 16, 32].includes(vectors)) throw expected('a power of two up to 32', 'vectors', vectors);
  const queue = Math.log2(vectors);
  const flags = (queue << 1) | (wide ? PCI_MSI_FLAGS_64BIT : 0) | (maskable ? PCI_MSI_FLAGS_MASKBIT : 0);
  const writable = PCI_MSI_FLAGS_ENABLE | (vectors > 1 ? PCI_MSI_FLAGS_QSIZE : 0);
  const capability = new Capability(PCI_CAP_ID_MSI, 10 + (wide ? 4 : 0) + (maskable ? 10 : 0), at)
    .word(PCI_MSI_FLAGS, flags, writable)
    .dword(PCI_MSI_ADDRESS_LO, 0, 0xffff_fffc)
    .word(wide ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32, 0, 0xffff);
  if (wide) capability.dword(PCI_MSI_ADDRESS_HI, 0, 0xffff_ffff);
  if (maskable) capability.dword(wide ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32, 0, 2 ** vectors - 1);
  return capability;
}

export interface MsixOptions extends Placed {
  /** How many: 2048 at most. */
  readonly vectors: number;
  /** The BAR that its table and its pending bits are in. */
  readonly bar: number;
  /** Where in it the table is, in bytes. Default: 0. */
  readonly table?: number;
  /** Where in it the pending bits are, in bytes. Default: after the table. */
  readonly pendingBits?: number;
}

/** Message-signalled interrupts with a table of vectors, which the base class keeps in the BAR. */
export function msix({ at, vectors, bar, table = 0, pendingBits = table + vectors * PCI_MSIX_ENTRY_SIZE }: MsixOptions): Capability {
  if (!Number.isInteger(vectors) || vectors < 1 || vectors > 2048) throw expected('an integer from 1 to 2048', 'vectors', vectors);
  if (table % 8 !== 0) throw expected('a multiple of 8', 'table', table);
  if (pendingBits % 8 !== 0) throw expected('a multiple of 8', 'pendingBits', pendingBits);
  return new Capability(PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF, at)
    .word(PCI_MSIX_FLAGS, vectors - 1, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL)
    .dword(PCI_MSIX_TABLE, table | bar)
    .dword(PCI_MSIX_PBA, pendingBits | bar);
}

export interface ExpressOptions extends Placed {
  /** 1 or 2. Default: 2, whose structure is larger. */
  readonly version?: 1 | 2;
  /** Default: 'endpoint', which on the machine's first bus is one integrated in the root complex. */
  readonly kind?: 'endpoint' | 'legacy endpoint';
  /** It can be reset alone, by a bit of its control register. Default: false. */
  readonly functionReset?: boolean;
}

const expressTypes = { endpoint: PCI_EXP_TYPE_ENDPOINT, 'legacy endpoint': PCI_EXP_TYPE_LEG_END } as const;

/** A link of one lane at 2.5 GT/s that can sleep lightly (L0s), as QEMU gives endpoints. */
const link = { capabilities: 0x411, status: 0x11 } as const;
/** What QEMU's endpoints of version 2 say and keep of prefixes. */
const prefixes = { capabilities: 0x0030_0000, control: 0x8000 } as const;
/** Up to the last register that is defined, which is a reserved one. */
const secondVersionSize = 0x3c;

/** PCI Express. A function that has it has 4096 bytes of configuration space, for extended capabilities. */
export function express({ at, version = 2, kind = 'endpoint', functionReset = false }: ExpressOptions = {}): Capability {
  const size = version === 1 ? PCI_CAP_EXP_ENDPOINT_SIZEOF_V1 : secondVersionSize;
  const capability = new Capability(PCI_CAP_ID_EXP, size, at)
    .word(PCI_EXP_FLAGS, version | (expressTypes[kind] << 4))
    .dword(PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_RBER | (functionReset ? PCI_EXP_DEVCAP_FLR : 0))
    .word(PCI_EXP_DEVCTL, 0, functionReset ? PCI_EXP_DEVCTL_BCR_FLR : 0)
    .dword(PCI_EXP_LNKCAP, link.capabilities)
    .word(PCI_EXP_LNKSTA, link.status);
  if (version === 2) capability.dword(PCI_EXP_DEVCAP2, prefixes.capabilities).word(PCI_EXP_DEVCTL2, 0, prefixes.control);
  return capability;
}

/** A reset of its own for conventional PCI devices. */
export function advancedFeatures({ at }: Placed = {}): Capability {
  return new Capability(PCI_CAP_ID_AF, PCI_CAP_AF_SIZEOF, at)
    .byte(PCI_AF_LENGTH, PCI_CAP_AF_SIZEOF)
    .byte(PCI_AF_CAP, PCI_AF_CAP_TP | PCI_AF_CAP_FLR)
    .byte(PCI_AF_CTRL, 0, PCI_AF_CTRL_FLR);
}

export interface VitalProductDataOptions extends Placed {
  /** Tags with what they hold, up to the end tag: at most 32768 bytes. A driver that writes changes them. */
  readonly contents: Uint8Array;
}

/** What a card says of itself: name, part and serial number, in the format that PCI lays down. */
export class VitalProductDataCapability extends Capability {
  readonly data: Uint8Array;

  constructor({ at, contents }: VitalProductDataOptions) {
    if (contents.byteLength > 0x8000) throw expected('at most 32768 bytes', 'contents', contents.byteLength);
    super(PCI_CAP_ID_VPD, PCI_CAP_VPD_SIZEOF, at);
    this.data = contents;
  }
}

export function vitalProductData(options: VitalProductDataOptions): Capability {
  return new VitalProductDataCapability(options);
}

export interface VendorOptions extends Placed {
  /** What follows its length, in bytes. */
  readonly contents: Uint8Array;
  /** Which bits of them can be written. Default: none. */
  readonly writable?: Uint8Array;
}

/** Registers of the vendor's own. */
export function vendorSpecific({ at, contents, writable = new Uint8Array(contents.byteLength) }: VendorOptions): Capability {
  const header = 3;
  const capability = new Capability(PCI_CAP_ID_VNDR, header + contents.byteLength, at).byte(2, header + contents.byteLength);
  contents.forEach((value, index) => capability.byte(header + index, value, writable[index]));
  return capability;
}
