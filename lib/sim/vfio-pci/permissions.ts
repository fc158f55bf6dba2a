/** What a driver may write of each capability, and what it sees a copy of. The tables are those of vfio_pci_config.c. */
import {
  PCI_AF_CTRL,
  PCI_AF_CTRL_FLR,
  PCI_BASE_ADDRESS_0,
  PCI_BASE_ADDRESS_5,
  PCI_BIST,
  PCI_CACHE_LINE_SIZE,
  PCI_CAPABILITY_LIST,
  PCI_CAP_AF_SIZEOF,
  PCI_CAP_ID_AF,
  PCI_CAP_ID_EXP,
  PCI_CAP_ID_PCIX,
  PCI_CAP_ID_PM,
  PCI_CAP_ID_VPD,
  PCI_CAP_LIST_NEXT,
  PCI_CAP_PCIX_SIZEOF_V1,
  PCI_CAP_VPD_SIZEOF,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_DEVICE_ID,
  PCI_ERR_CAP,
  PCI_ERR_COR_MASK,
  PCI_ERR_COR_STATUS,
  PCI_ERR_ROOT_COMMAND,
  PCI_ERR_UNCOR_MASK,
  PCI_ERR_UNCOR_SEVER,
  PCI_ERR_UNCOR_STATUS,
  PCI_EXP_DEVCTL,
  PCI_EXP_DEVCTL2,
  PCI_EXP_DEVCTL2_ARI,
  PCI_EXP_DEVCTL_BCR_FLR,
  PCI_EXP_DEVCTL_PAYLOAD,
  PCI_EXP_DEVCTL_PHANTOM,
  PCI_EXP_DEVCTL_READRQ,
  PCI_EXT_CAP_ID_ERR,
  PCI_EXT_CAP_ID_PWR,
  PCI_EXT_CAP_PWR_SIZEOF,
  PCI_INTERRUPT_LINE,
  PCI_INTERRUPT_PIN,
  PCI_LATENCY_TIMER,
  PCI_MSI_ADDRESS_HI,
  PCI_MSI_ADDRESS_LO,
  PCI_MSI_DATA_32,
  PCI_MSI_DATA_64,
  PCI_MSI_FLAGS,
  PCI_MSI_FLAGS_64BIT,
  PCI_MSI_FLAGS_MASKBIT,
  PCI_MSI_MASK_32,
  PCI_MSI_MASK_64,
  PCI_MSI_PENDING_32,
  PCI_MSI_PENDING_64,
  PCI_PM_CAP_PME_MASK,
  PCI_PM_CTRL,
  PCI_PM_CTRL_PME_ENABLE,
  PCI_PM_CTRL_PME_STATUS,
  PCI_PM_CTRL_STATE_MASK,
  PCI_PM_PMC,
  PCI_PM_SIZEOF,
  PCI_PWR_DATA,
  PCI_ROM_ADDRESS,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
  PCI_STD_HEADER_SIZEOF,
  PCI_VENDOR_ID,
  PCI_VPD_ADDR,
  PCI_VPD_DATA,
  PCI_X_CMD,
  PCI_X_ECC_CSR,
} from '../../abi/pci.js';
import { expressSize } from './capability-lengths.js';

const all = 0xffff_ffff;
/** The errors of which drivers may change status, mask and severity. */
const errors = { uncorrectable: 0x03ff_f031, correctable: 0xf1c1, checks: 0x140 } as const;

/** Bit by bit: whether it is the copy's and not the hardware's, and whether it can be written. */
export class Permissions {
  readonly #virtual: DataView;
  readonly #write: DataView;

  constructor(size: number) {
    this.#virtual = new DataView(new ArrayBuffer(Math.ceil(size / 4) * 4));
    this.#write = new DataView(new ArrayBuffer(Math.ceil(size / 4) * 4));
  }

  byte(at: number, virtual: number, write: number): this {
    this.#virtual.setUint8(at, virtual);
    this.#write.setUint8(at, write);
    return this;
  }

  word(at: number, virtual: number, write: number): this {
    this.#virtual.setUint16(at, virtual, true);
    this.#write.setUint16(at, write, true);
    return this;
  }

  dword(at: number, virtual: number, write: number): this {
    this.#virtual.setUint32(at, virtual, true);
    this.#write.setUint32(at, write, true);
    return this;
  }

  virtualAt(at: number): number {
    return this.#virtual.getUint8(at);
  }

  writeAt(at: number): number {
    return this.#write.getUint8(at);
  }
}

export const headerPermissions = header();

/** By id; what is not here can be read, and only its place in the list is the copy's. */
export const capabilityPermissions: ReadonlyMap<number, Permissions> = new Map([
  [PCI_CAP_ID_PM, powerManagement()],
  [PCI_CAP_ID_VPD, linked(PCI_CAP_VPD_SIZEOF).word(PCI_VPD_ADDR, all, all).dword(PCI_VPD_DATA, all, all)],
  [PCI_CAP_ID_PCIX, linked(PCI_CAP_PCIX_SIZEOF_V1).word(PCI_X_CMD, 0, all).dword(PCI_X_ECC_CSR, 0, all)],
  [PCI_CAP_ID_EXP, express()],
  [PCI_CAP_ID_AF, linked(PCI_CAP_AF_SIZEOF).byte(PCI_AF_CTRL, PCI_AF_CTRL_FLR, PCI_AF_CTRL_FLR)],
]);

export const extendedPermissions: ReadonlyMap<number, Permissions> = new Map([
  [PCI_EXT_CAP_ID_ERR, errorReporting()],
  [PCI_EXT_CAP_ID_PWR, new Permissions(PCI_EXT_CAP_PWR_SIZEOF).dword(0, all, 0).byte(PCI_PWR_DATA, 0, all)],
]);

/** Those of MSI depend on what the device has of it. */
export function msiPermissions(size: number, flags: number): Permissions {
  const permissions = linked(size).byte(PCI_MSI_FLAGS, all, all).dword(PCI_MSI_ADDRESS_LO, all, all);
  const wide = (flags & PCI_MSI_FLAGS_64BIT) !== 0;
  if (wide) permissions.dword(PCI_MSI_ADDRESS_HI, all, all);
  permissions.word(wide ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32, all, all);
  if ((flags & PCI_MSI_FLAGS_MASKBIT) === 0) return permissions;
  return permissions.dword(wide ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32, 0, all).dword(wide ? PCI_MSI_PENDING_64 : PCI_MSI_PENDING_32, 0, all);
}

/** Every capability's place in the list is the copy's, so that some can be left out of it. */
function linked(size: number): Permissions {
  return new Permissions(size).byte(PCI_CAP_LIST_NEXT, all, 0);
}

function header(): Permissions {
  const permissions = new Permissions(PCI_STD_HEADER_SIZEOF)
    .word(PCI_VENDOR_ID, all, 0)
    .word(PCI_DEVICE_ID, all, 0)
    .word(PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, all)
    .word(PCI_STATUS, PCI_STATUS_CAP_LIST, 0)
    .byte(PCI_CACHE_LINE_SIZE, 0, all)
    .byte(PCI_LATENCY_TIMER, 0, all)
    .byte(PCI_BIST, 0, all)
    .dword(PCI_ROM_ADDRESS, all, all)
    .byte(PCI_CAPABILITY_LIST, all, 0)
    .byte(PCI_INTERRUPT_LINE, all, all)
    .byte(PCI_INTERRUPT_PIN, all, 0);
  for (let at = PCI_BASE_ADDRESS_0; at <= PCI_BASE_ADDRESS_5; at += 4) permissions.dword(at, all, all);
  return permissions;
}

function powerManagement(): Permissions {
  const wakes = PCI_PM_CTRL_PME_ENABLE | PCI_PM_CTRL_PME_STATUS;
  return linked(PCI_PM_SIZEOF)
    .word(PCI_PM_PMC, PCI_PM_CAP_PME_MASK, 0)
    .dword(PCI_PM_CTRL, wakes, ~(wakes | PCI_PM_CTRL_STATE_MASK));
}

function express(): Permissions {
  const virtual = PCI_EXP_DEVCTL_BCR_FLR | PCI_EXP_DEVCTL_PAYLOAD | PCI_EXP_DEVCTL_READRQ;
  return linked(expressSize).word(PCI_EXP_DEVCTL, virtual, ~PCI_EXP_DEVCTL_PHANTOM).word(PCI_EXP_DEVCTL2, 0, ~PCI_EXP_DEVCTL2_ARI);
}

function errorReporting(): Permissions {
  const permissions = new Permissions(PCI_ERR_ROOT_COMMAND).dword(0, all, 0).dword(PCI_ERR_CAP, 0, errors.checks);
  for (const at of [PCI_ERR_UNCOR_STATUS, PCI_ERR_UNCOR_MASK, PCI_ERR_UNCOR_SEVER]) permissions.dword(at, 0, errors.uncorrectable);
  for (const at of [PCI_ERR_COR_STATUS, PCI_ERR_COR_MASK]) permissions.dword(at, 0, errors.correctable);
  return permissions;
}
