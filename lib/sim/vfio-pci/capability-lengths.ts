/** How many bytes vfio-pci takes for a capability, 0 for one that it hides: vfio_cap_len and vfio_ext_cap_len. */
import {
  HT_3BIT_CAP_MASK,
  HT_CAP_SIZEOF_LONG,
  HT_CAP_SIZEOF_SHORT,
  PCI_ACS_CAP,
  PCI_ACS_EC,
  PCI_ACS_EGRESS_BITS,
  PCI_AGP_SIZEOF,
  PCI_CAP_AF_SIZEOF,
  PCI_CAP_EXP_ENDPOINT_SIZEOF_V1,
  PCI_CAP_EXP_RC_ENDPOINT_SIZEOF_V1,
  PCI_CAP_EXP_RC_ENDPOINT_SIZEOF_V2,
  PCI_CAP_ID_AF,
  PCI_CAP_ID_AGP,
  PCI_CAP_ID_EXP,
  PCI_CAP_ID_HT,
  PCI_CAP_ID_MSI,
  PCI_CAP_ID_MSIX,
  PCI_CAP_ID_PCIX,
  PCI_CAP_ID_PM,
  PCI_CAP_ID_SATA,
  PCI_CAP_ID_VNDR,
  PCI_CAP_ID_VPD,
  PCI_CAP_MSIX_SIZEOF,
  PCI_CAP_PCIX_SIZEOF_V0,
  PCI_CAP_PCIX_SIZEOF_V1,
  PCI_CAP_VC_BASE_SIZEOF,
  PCI_CAP_VC_PER_VC_SIZEOF,
  PCI_CAP_VPD_SIZEOF,
  PCI_DPA_BASE_SIZEOF,
  PCI_DPA_CAP,
  PCI_DPA_CAP_SUBSTATE_MASK,
  PCI_DVSEC_HEADER1,
  PCI_ERR_ROOT_COMMAND,
  PCI_EXP_FLAGS,
  PCI_EXP_FLAGS_TYPE,
  PCI_EXP_FLAGS_VERS,
  PCI_EXP_LNKSTA2,
  PCI_EXP_TYPE_RC_END,
  PCI_EXT_CAP_ARI_SIZEOF,
  PCI_EXT_CAP_ATS_SIZEOF,
  PCI_EXT_CAP_DSN_SIZEOF,
  PCI_EXT_CAP_ID_ACS,
  PCI_EXT_CAP_ID_ARI,
  PCI_EXT_CAP_ID_ATS,
  PCI_EXT_CAP_ID_DPA,
  PCI_EXT_CAP_ID_DSN,
  PCI_EXT_CAP_ID_DVSEC,
  PCI_EXT_CAP_ID_ERR,
  PCI_EXT_CAP_ID_LTR,
  PCI_EXT_CAP_ID_MCAST,
  PCI_EXT_CAP_ID_MFVC,
  PCI_EXT_CAP_ID_PRI,
  PCI_EXT_CAP_ID_PWR,
  PCI_EXT_CAP_ID_REBAR,
  PCI_EXT_CAP_ID_SRIOV,
  PCI_EXT_CAP_ID_TPH,
  PCI_EXT_CAP_ID_VC,
  PCI_EXT_CAP_ID_VC9,
  PCI_EXT_CAP_ID_VNDR,
  PCI_EXT_CAP_LTR_SIZEOF,
  PCI_EXT_CAP_MCAST_ENDPOINT_SIZEOF,
  PCI_EXT_CAP_PRI_SIZEOF,
  PCI_EXT_CAP_PWR_SIZEOF,
  PCI_EXT_CAP_SRIOV_SIZEOF,
  PCI_MSI_FLAGS,
  PCI_MSI_FLAGS_64BIT,
  PCI_MSI_FLAGS_MASKBIT,
  PCI_PM_SIZEOF,
  PCI_REBAR_CTRL,
  PCI_REBAR_CTRL_NBAR_MASK,
  PCI_REBAR_CTRL_NBAR_SHIFT,
  PCI_SATA_REGS,
  PCI_SATA_REGS_INLINE,
  PCI_SATA_REGS_MASK,
  PCI_SATA_SIZEOF_LONG,
  PCI_SATA_SIZEOF_SHORT,
  PCI_TPH_BASE_SIZEOF,
  PCI_TPH_CAP,
  PCI_TPH_CAP_LOC_MASK,
  PCI_TPH_CAP_ST_MASK,
  PCI_TPH_CAP_ST_SHIFT,
  PCI_TPH_LOC_CAP,
  PCI_VC_CAP1_EVCC,
  PCI_VC_CAP2_128_PHASE,
  PCI_VC_CAP2_32_PHASE,
  PCI_VC_CAP2_64_PHASE,
  PCI_VC_PORT_CAP1,
  PCI_VC_PORT_CAP2,
  PCI_VNDR_HEADER,
  PCI_X_CMD,
} from '../../abi/pci.js';
import type { ConfigWidth } from '../pci/config-space.js';

/** The device's own configuration space. */
interface Hardware {
  readConfig(at: number, width: ConfigWidth): number;
}

type Length = number | ((hardware: Hardware, at: number) => number);

const capabilityLengths: ReadonlyMap<number, Length> = new Map<number, Length>([
  [PCI_CAP_ID_PM, PCI_PM_SIZEOF],
  [PCI_CAP_ID_AGP, PCI_AGP_SIZEOF],
  [PCI_CAP_ID_VPD, PCI_CAP_VPD_SIZEOF],
  [PCI_CAP_ID_MSI, msiLength],
  // Bits 12 and 13 are its version.
  [
    PCI_CAP_ID_PCIX,
    (device, at) => ((device.readConfig(at + PCI_X_CMD, 2) & 0x3000) === 0 ? PCI_CAP_PCIX_SIZEOF_V0 : PCI_CAP_PCIX_SIZEOF_V1),
  ],
  [PCI_CAP_ID_HT, (device, at) => ((device.readConfig(at + 3, 1) & HT_3BIT_CAP_MASK) === 0 ? HT_CAP_SIZEOF_LONG : HT_CAP_SIZEOF_SHORT)],
  [PCI_CAP_ID_VNDR, (device, at) => device.readConfig(at + 2, 1)],
  [PCI_CAP_ID_EXP, expressLength],
  [PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF],
  [PCI_CAP_ID_SATA, sataLength],
  [PCI_CAP_ID_AF, PCI_CAP_AF_SIZEOF],
]);

/** The upper 12 bits of its second header. */
const lengthIn =
  (register: number): Length =>
  (device, at) =>
    device.readConfig(at + register, 4) >>> 20;

const extendedLengths: ReadonlyMap<number, Length> = new Map<number, Length>([
  // Up to what root ports alone have.
  [PCI_EXT_CAP_ID_ERR, PCI_ERR_ROOT_COMMAND],
  [PCI_EXT_CAP_ID_VC, virtualChannelLength],
  [PCI_EXT_CAP_ID_DSN, PCI_EXT_CAP_DSN_SIZEOF],
  [PCI_EXT_CAP_ID_PWR, PCI_EXT_CAP_PWR_SIZEOF],
  [PCI_EXT_CAP_ID_MFVC, virtualChannelLength],
  [PCI_EXT_CAP_ID_VC9, virtualChannelLength],
  [PCI_EXT_CAP_ID_VNDR, lengthIn(PCI_VNDR_HEADER)],
  [PCI_EXT_CAP_ID_ACS, accessControlLength],
  [PCI_EXT_CAP_ID_ARI, PCI_EXT_CAP_ARI_SIZEOF],
  [PCI_EXT_CAP_ID_ATS, PCI_EXT_CAP_ATS_SIZEOF],
  [PCI_EXT_CAP_ID_SRIOV, PCI_EXT_CAP_SRIOV_SIZEOF],
  [PCI_EXT_CAP_ID_MCAST, PCI_EXT_CAP_MCAST_ENDPOINT_SIZEOF],
  [PCI_EXT_CAP_ID_PRI, PCI_EXT_CAP_PRI_SIZEOF],
  [
    PCI_EXT_CAP_ID_REBAR,
    (device, at) => 4 + 8 * ((device.readConfig(at + PCI_REBAR_CTRL, 1) & PCI_REBAR_CTRL_NBAR_MASK) >> PCI_REBAR_CTRL_NBAR_SHIFT),
  ],
  [PCI_EXT_CAP_ID_DPA, (device, at) => PCI_DPA_BASE_SIZEOF + (device.readConfig(at + PCI_DPA_CAP, 1) & PCI_DPA_CAP_SUBSTATE_MASK) + 1],
  [PCI_EXT_CAP_ID_TPH, hintsLength],
  [PCI_EXT_CAP_ID_LTR, PCI_EXT_CAP_LTR_SIZEOF],
  [PCI_EXT_CAP_ID_DVSEC, lengthIn(PCI_DVSEC_HEADER1)],
]);

const found = (lengths: ReadonlyMap<number, Length>, hardware: Hardware, id: number, at: number): number => {
  const length = lengths.get(id) ?? 0;
  return typeof length === 'number' ? length : length(hardware, at);
};

export function capabilityLength(hardware: Hardware, id: number, at: number): number {
  return found(capabilityLengths, hardware, id, at);
}

export function extendedLength(hardware: Hardware, id: number, at: number): number {
  return found(extendedLengths, hardware, id, at);
}

function msiLength(hardware: Hardware, at: number): number {
  const flags = hardware.readConfig(at + PCI_MSI_FLAGS, 2);
  return 10 + ((flags & PCI_MSI_FLAGS_64BIT) === 0 ? 0 : 4) + ((flags & PCI_MSI_FLAGS_MASKBIT) === 0 ? 0 : 10);
}

/** Of a PCI Express capability of version 2 with a link. Older headers leave its last register out of PCI_CAP_EXP_ENDPOINT_SIZEOF_V2. */
export const expressSize = PCI_EXP_LNKSTA2 + 2;

/** By version; of a part of the root complex, without the registers of a link. */
function expressLength(hardware: Hardware, at: number): number {
  const flags = hardware.readConfig(at + PCI_EXP_FLAGS, 2);
  const integrated = (flags & PCI_EXP_FLAGS_TYPE) >> 4 === PCI_EXP_TYPE_RC_END;
  if ((flags & PCI_EXP_FLAGS_VERS) === 1) return integrated ? PCI_CAP_EXP_RC_ENDPOINT_SIZEOF_V1 : PCI_CAP_EXP_ENDPOINT_SIZEOF_V1;
  return integrated ? PCI_CAP_EXP_RC_ENDPOINT_SIZEOF_V2 : expressSize;
}

function sataLength(hardware: Hardware, at: number): number {
  const inside = (hardware.readConfig(at + PCI_SATA_REGS, 1) & PCI_SATA_REGS_MASK) === PCI_SATA_REGS_INLINE;
  return inside ? PCI_SATA_SIZEOF_LONG : PCI_SATA_SIZEOF_SHORT;
}

function virtualChannelLength(hardware: Hardware, at: number): number {
  const more = hardware.readConfig(at + PCI_VC_PORT_CAP1, 4) & PCI_VC_CAP1_EVCC;
  const arbitration = hardware.readConfig(at + PCI_VC_PORT_CAP2, 4);
  const phases =
    (
      [
        [PCI_VC_CAP2_128_PHASE, 128],
        [PCI_VC_CAP2_64_PHASE, 64],
        [PCI_VC_CAP2_32_PHASE, 32],
      ] as const
    ).find(([bit]) => (arbitration & bit) !== 0)?.[1] ?? 0;
  const registers = PCI_CAP_VC_BASE_SIZEOF + (1 + more) * PCI_CAP_VC_PER_VC_SIZEOF;
  return phases === 0 ? registers : Math.ceil(registers / 16) * 16 + phases / 2;
}

function accessControlLength(hardware: Hardware, at: number): number {
  if ((hardware.readConfig(at + PCI_ACS_CAP, 1) & PCI_ACS_EC) === 0) return 8;
  const bits = hardware.readConfig(at + PCI_ACS_EGRESS_BITS, 1);
  return 8 + (bits === 0 ? 256 : Math.ceil(bits / 32) * 32) / 8;
}

function hintsLength(hardware: Hardware, at: number): number {
  const capability = hardware.readConfig(at + PCI_TPH_CAP, 4);
  if ((capability & PCI_TPH_CAP_LOC_MASK) !== PCI_TPH_LOC_CAP) return PCI_TPH_BASE_SIZEOF;
  return PCI_TPH_BASE_SIZEOF + 2 * ((capability & PCI_TPH_CAP_ST_MASK) >> PCI_TPH_CAP_ST_SHIFT) + 2;
}
