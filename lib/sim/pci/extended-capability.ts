/** The structures of PCI Express functions, from byte 256 of configuration space on. The first lies there. */
import {
  PCI_ERR_CAP,
  PCI_ERR_COR_MASK,
  PCI_ERR_COR_STATUS,
  PCI_ERR_UNCOR_MASK,
  PCI_ERR_UNCOR_SEVER,
  PCI_ERR_UNCOR_STATUS,
  PCI_EXT_CAP_ARI_SIZEOF,
  PCI_EXT_CAP_DSN_SIZEOF,
  PCI_EXT_CAP_ID_ARI,
  PCI_EXT_CAP_ID_DSN,
  PCI_EXT_CAP_ID_ERR,
  PCI_EXT_CAP_ID_SRIOV,
  PCI_EXT_CAP_SRIOV_SIZEOF,
  PCI_SRIOV_BAR,
  PCI_SRIOV_CTRL,
  PCI_SRIOV_CTRL_ARI,
  PCI_SRIOV_CTRL_MSE,
  PCI_SRIOV_CTRL_VFE,
  PCI_SRIOV_INITIAL_VF,
  PCI_SRIOV_NUM_VF,
  PCI_SRIOV_SUP_PGSIZE,
  PCI_SRIOV_SYS_PGSIZE,
  PCI_SRIOV_TOTAL_VF,
  PCI_SRIOV_VF_DID,
  PCI_SRIOV_VF_OFFSET,
  PCI_SRIOV_VF_STRIDE,
} from '../../abi/pci.js';
import { addressBits, resolveBars, type BarOptions } from './bar.js';
import { Capability } from './capability.js';

/** An extended capability has a version in its header. */
export class ExtendedCapability extends Capability {
  readonly version: number;

  constructor(id: number, version: number, size: number, at?: number) {
    super(id, size, at);
    this.version = version;
  }
}

/** @inline */
interface Placed {
  /** Its offset in configuration space, a multiple of 4 from 256 on. Default: after the one before it. */
  readonly at?: number;
}

/** Uncorrectable errors that an endpoint can meet: what can be recorded, and how severe each is at first. */
const uncorrectable = { known: 0x03ff_f030, severe: 0x0046_2030 } as const;
const correctable = { known: 0xf1c1, masked: 0xe000 } as const;
/** End-to-end checks of its packets: it can make them and check them, and both can be turned on. */
const checks = { capable: 0xa0, enabled: 0x140 } as const;

/** Advanced error reporting: which errors the function saw, and which it tells. */
export function errorReporting({ at }: Placed = {}): ExtendedCapability {
  return new ExtendedCapability(PCI_EXT_CAP_ID_ERR, 2, 0x40, at)
    .dword(PCI_ERR_UNCOR_STATUS, 0, 0, uncorrectable.known)
    .dword(PCI_ERR_UNCOR_MASK, 0)
    .dword(PCI_ERR_UNCOR_SEVER, uncorrectable.severe, uncorrectable.known)
    .dword(PCI_ERR_COR_STATUS, 0, 0, correctable.known)
    .dword(PCI_ERR_COR_MASK, correctable.masked, correctable.known)
    .dword(PCI_ERR_CAP, checks.capable, checks.enabled);
}

/** The device's serial number, of 64 bits. */
export function serialNumber({ at, number }: Placed & { readonly number: bigint }): ExtendedCapability {
  return new ExtendedCapability(PCI_EXT_CAP_ID_DSN, 1, PCI_EXT_CAP_DSN_SIZEOF, at)
    .dword(4, Number(number & 0xffff_ffffn))
    .dword(8, Number((number >> 32n) & 0xffff_ffffn));
}

/** More than eight functions in a device: `next` is the number of the one after this. Default: 0, none. */
export function manyFunctions({ at, next = 0 }: Placed & { readonly next?: number } = {}): ExtendedCapability {
  return new ExtendedCapability(PCI_EXT_CAP_ID_ARI, 1, PCI_EXT_CAP_ARI_SIZEOF, at).word(4, next << 8);
}

export interface VirtualFunctionsOptions extends Placed {
  /** How many it can have. */
  readonly total: number;
  /** Their device id. */
  readonly device: number;
  /** The distance from its own number to the first one's, and from each to the next. Default: 1 and 1. */
  readonly offset?: number;
  readonly stride?: number;
  /** The BARs that each of them has. */
  readonly bars: Readonly<Record<number, number | BarOptions>>;
}

/** The page sizes, as powers of two from 4 KiB on, that every device knows: 4, 8, 64, 256 KiB, 1 and 4 MiB. */
const pageSizes = 0x553;

/** Virtual functions (SR-IOV). A machine is given them as devices of their own, with `physicalFunction`. */
export function virtualFunctions({ at, total, device, offset = 1, stride = 1, bars }: VirtualFunctionsOptions): ExtendedCapability {
  const capability = new ExtendedCapability(PCI_EXT_CAP_ID_SRIOV, 1, PCI_EXT_CAP_SRIOV_SIZEOF, at)
    .word(PCI_SRIOV_CTRL, 0, PCI_SRIOV_CTRL_VFE | PCI_SRIOV_CTRL_MSE | PCI_SRIOV_CTRL_ARI)
    .word(PCI_SRIOV_INITIAL_VF, total)
    .word(PCI_SRIOV_TOTAL_VF, total)
    .word(PCI_SRIOV_NUM_VF, 0, 0xffff)
    .word(PCI_SRIOV_VF_OFFSET, offset)
    .word(PCI_SRIOV_VF_STRIDE, stride)
    .word(PCI_SRIOV_VF_DID, device)
    .dword(PCI_SRIOV_SUP_PGSIZE, pageSizes)
    .dword(PCI_SRIOV_SYS_PGSIZE, 1, pageSizes);
  for (const bar of resolveBars(bars)) {
    const register = PCI_SRIOV_BAR + 4 * bar.index;
    const { low, high } = addressBits(bar.size);
    capability.dword(register, bar.flags, low);
    if (bar.wide) capability.dword(register + 4, 0, high);
  }
  return capability;
}
