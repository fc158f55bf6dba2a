/**
 * Machines that need no kernel.
 *
 * @module vfio/sim
 */
export type { Clock, TimeKind } from './clock.js';
export { failEach, type FailEachOptions, type FailEachProblem, type FailEachReport, type FailEachRun } from './fail-each.js';
export type { DmaFailure } from './device-faults.js';
export type { MachineDevice } from './machine-device.js';
export { Machine, type DeviceOptions, type MachineOptions } from './machine.js';
export { parseMachine, type DeviceDescription, type IommuDescription, type MachineDescription } from './machine-description.js';
export type { Width } from './mapping.js';
export type { PlainFile } from './plain-files.js';
export type { CacheContents, DmaFault, DmaPort, PasidOptions } from './dma.js';
export { Edu, type EduOptions } from './models/edu.js';
export { E1000e, type E1000eOptions } from './models/e1000e/card.js';
export { Capture } from './network/capture.js';
export { pcapFrame, pcapHeader, readPcap, writePcap, type CapturedFrame } from './network/pcap.js';
export { wire, type WireEnd } from './network/wire.js';
export { Nvme, type NvmeOptions } from './models/nvme/controller.js';
export type { Disk } from './models/nvme/disk.js';
export {
  advancedFeatures,
  Capability,
  express,
  msi,
  msix,
  powerManagement,
  vendorSpecific,
  vitalProductData,
  type ExpressOptions,
  type MsiOptions,
  type MsixOptions,
  type PowerManagementOptions,
  type VendorOptions,
  type VitalProductDataOptions,
} from './pci/capability.js';
export {
  errorReporting,
  ExtendedCapability,
  manyFunctions,
  serialNumber,
  virtualFunctions,
  type VirtualFunctionsOptions,
} from './pci/extended-capability.js';
export type { AccessRules, Bar, BarOptions, Widths } from './pci/bar.js';
export { PciFunction, type InterruptSink, type PciIdentity } from './pci/function.js';
export type { ConfigWidth } from './pci/config-space.js';
export type { MsiRegisters, MsixTable } from './pci/messages.js';
export { RegisterBlock, type Behaviours, type RegisterBehaviour } from './pci/register-block.js';
export {
  bit,
  bits,
  reg16,
  reg32,
  reg64,
  reg8,
  registers,
  type Field,
  type Fields,
  type Register,
  type Registers,
} from '../registers/declaration.js';
export type { MediatedDriver } from './mdev/drivers.js';
export type { ContainerProvider } from './platform.js';
export type { IommuOptions } from './iommu-options.js';
export type { IommuFeature, IommuKind, KernelVersion, ReservedRegion } from './profile.js';
export type { FaultChannel, ReportedFault } from './vsva-2020/fault-channel.js';
