/**
 * PCI devices as sysfs shows them, and their drivers.
 *
 * @module vfio/pci
 */
export * from '../abi/pci.js';
export { parseAddress } from './address.js';
export { decodeConfigSpace, type Capability, type ConfigSpace } from './config-space/config-space.js';
export type { BridgeWindow, Header } from './config-space/header.js';
export { bindDriver, type Binding } from './driver.js';
export { createMediatedDevice, mediatedTypes, type MediatedDevice, type MediatedType } from './mediated.js';
export type { WithFiles } from './sysfs.js';
export { findDevice, findDevices, groupDevices, type PciDevice } from './topology.js';
