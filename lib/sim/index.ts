/** `vfio/sim`: machines that need no kernel. */
export { Machine, type DeviceOptions, type MachineOptions } from './machine.js';
export type { CacheContents, DmaFault, DmaPort, PasidOptions } from './dma.js';
export { Edu, type EduOptions } from './models/edu.js';
export { PciFunction, type InterruptSink, type PciIdentity } from './pci/function.js';
export type { MediatedDriver } from './mdev/drivers.js';
export type { ContainerProvider } from './platform.js';
export type { IommuKind, KernelVersion } from './profile.js';
export type { FaultChannel } from './vsva-2020/fault-channel.js';
