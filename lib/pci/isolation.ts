/** Whether what passes through a function of PCI Express has to go up to the IOMMU: by Access Control Services. */
import {
  PCI_ACS_CAP,
  PCI_ACS_CR,
  PCI_ACS_CTRL,
  PCI_ACS_RR,
  PCI_ACS_SV,
  PCI_ACS_UF,
  PCI_CAP_ID_EXP,
  PCI_EXP_FLAGS,
  PCI_EXT_CAP_ID_ACS,
  PCI_HEADER_TYPE,
  PCI_STD_HEADER_SIZEOF,
} from '../abi/pci.js';
import { readConfigFile } from './config-file.js';
import { decodeConfigSpace } from './config-space/config-space.js';
import type { WithFiles } from './sysfs.js';

/** What a function is to PCI Express, and what it does with requests from one device to another. */
export interface Isolation {
  /** As in its PCI Express capability; 'conventional' without one; 'unknown' to those who are not shown it. */
  readonly kind: 'conventional' | 'endpoint' | 'root-port' | 'upstream-port' | 'downstream-port' | 'pci-bridge' | 'integrated' | 'unknown';
  readonly isMultifunction: boolean;
  /** 'on': all that it has of what keeps requests from going to a neighbour. */
  readonly accessControl: 'on' | 'off' | 'absent' | 'unknown';
}

/** By the number of the type in the capability. */
const kinds: Readonly<Record<number, Isolation['kind']>> = {
  0: 'endpoint',
  1: 'endpoint',
  4: 'root-port',
  5: 'upstream-port',
  6: 'downstream-port',
  7: 'pci-bridge',
  8: 'pci-bridge',
  9: 'integrated',
  10: 'integrated',
};

/** Source validation, request redirection, completion redirection, upstream forwarding: what Linux groups by. */
const demanded = PCI_ACS_SV | PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_UF;

export function readIsolation(kernel: WithFiles, address: string): Isolation {
  const bytes = readConfigFile(kernel, address);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isMultifunction = (view.getUint8(PCI_HEADER_TYPE) & 0x80) !== 0;
  if (bytes.byteLength === PCI_STD_HEADER_SIZEOF) return { kind: 'unknown', isMultifunction, accessControl: 'unknown' };
  const { capabilities, extendedCapabilities } = decodeConfigSpace(bytes);
  const express = capabilities.find(({ id }) => id === PCI_CAP_ID_EXP);
  const control = extendedCapabilities.find(({ id }) => id === PCI_EXT_CAP_ID_ACS);
  return {
    kind: express === undefined ? 'conventional' : (kinds[(view.getUint16(express.offset + PCI_EXP_FLAGS, true) >> 4) & 0xf] ?? 'unknown'),
    isMultifunction,
    accessControl: control === undefined ? 'absent' : stateOf(view, control.offset),
  };
}

/** What it lacks it need not have, but for what a port that has the capability always has. */
function stateOf(view: DataView, at: number): 'on' | 'off' {
  const wanted = view.getUint16(at + PCI_ACS_CAP, true) & demanded;
  return (view.getUint16(at + PCI_ACS_CTRL, true) & wanted) === wanted ? 'on' : 'off';
}

/** Whether what is behind the function, or beside it, can be reached from it past the IOMMU; undefined if that cannot be seen. */
export function leaks({ kind, isMultifunction, accessControl }: Isolation): boolean | undefined {
  if (kind === 'conventional' || kind === 'pci-bridge') return true;
  // One function alone has no neighbours in its device.
  if ((kind === 'endpoint' || kind === 'integrated' || kind === 'upstream-port') && !isMultifunction) return false;
  return accessControl === 'unknown' ? undefined : accessControl !== 'on';
}
