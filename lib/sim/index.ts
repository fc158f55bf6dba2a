/** `vfio/sim`: machines that need no kernel. */
export { Machine, type DeviceOptions, type MachineOptions } from './machine.js';
export type { DmaFault } from './dma.js';
export { Edu, type EduOptions } from './models/edu.js';
export { PciFunction, type InterruptSink, type PciIdentity } from './pci/function.js';
export type { MediatedDriver } from './mdev/drivers.js';
export type { IommuKind, KernelVersion } from './profile.js';
