/**
 * Userspace device drivers in Node.js.
 *
 * @module vfio
 */
export { BadAnswerError, type Capability } from './abi/chain.js';
export { explain } from './diagnosis/explain.js';
export type { Finding, Severity } from './diagnosis/finding.js';
export type { Evidence } from './pci/evidence.js';
export { FaultQueue, type PageAccess, type PageRequest, type PageRequestGroup, type PageResponse } from './iommufd/fault-queue.js';
export type { DriverData } from './iommufd/driver-data.js';
export type { AmdGuestTable, GuestTable, OtherGuestTable, SmmuGuestTable, VtdGuestTable, VtdInvalidation } from './iommufd/guest-tables.js';
export type { AmdHardware, HardwareInformation, SmmuHardware, TegraHardware, VtdHardware } from './iommufd/hardware-information.js';
export { InvalidationError } from './iommufd/invalidate.js';
export { NestedPageTable, type NestedPageTableOptions } from './iommufd/nested-page-table.js';
export { PageTable, type PageTableOptions } from './iommufd/page-table.js';
export { PageTableDirtyTracking } from './iommufd/page-table-dirty-tracking.js';
export { Ioas, type CopyOptions, type MapFileOptions } from './iommufd/ioas.js';
export { Iommufd, type LockedMemoryAccount } from './iommufd/iommufd.js';
export { VirtualDevice, type BoundDevice } from './iommufd/virtual-device.js';
export {
  VirtualEventQueue,
  type EventLayout,
  type VirtualEventQueueOptions,
  type VirtualIommuEvent,
} from './iommufd/virtual-event-queue.js';
export {
  HardwareQueue,
  HardwareRegisters,
  VirtualIommu,
  type HardwareQueueOptions,
  type VirtualIommuOptions,
} from './iommufd/virtual-iommu.js';
export { audit, type AuditedKernel, type Held } from './kernel/audit.js';
export type { KernelCall } from './kernel/around.js';
export { ClosedError, KernelError } from './kernel/error.js';
export { fail, type Failure, type FailingCall } from './kernel/fail.js';
export type { FdKind } from './kernel/file-kinds.js';
export type { Files, FileStatus, Kernel, Mapping, Mmio, Poll, RegisterValues, Watch } from './kernel/kernel.js';
export { native } from './kernel/native.js';
export { record, type RecordOptions } from './kernel/recording/record.js';
export { DepartedError, replay, type ReplayedKernel, type ReplayOptions } from './kernel/recording/replay.js';
export { Resource, type OpenFile } from './kernel/resource.js';
export { trace, type TracedCall } from './kernel/trace.js';
export type { WaitOptions } from './kernel/waiters.js';
export type { AddressSpace, AttachPoint, IovaRange, MapOptions, MappedRange } from './memory/address-space.js';
export type { AllocateOptions, DmaOptions } from './memory/allocate-options.js';
export { DmaBuffer } from './memory/buffer.js';
export { DirtyBitmap, type DirtyRange } from './memory/dirty-bitmap.js';
export type { DirtyTracking, PageRange } from './memory/dirty-tracking.js';
export { MemoryFile } from './memory/memory-file.js';
export { DmaPool, type DmaBlock, type DmaPoolOptions } from './memory/pool.js';
export { SharedBuffer, type SharedMemory } from './memory/shared-buffer.js';
export { physicalAddress } from './memory/physical-address.js';
export { PhysicalSpace, type PhysicalRun, type Pinner } from './memory/physical-space.js';
export { adoptDevice, openDevice, OpenDevice, type OpenOptions, type OpenWay, type SharedDevice } from './open.js';
export {
  bindDriver,
  createMediatedDevice,
  findDevice,
  findDevices,
  groupDevices,
  mediatedTypes,
  parseAddress,
  type Binding,
  type MediatedDevice,
  type MediatedType,
  type PciDevice,
} from './pci/index.js';
export { Cdev, type AdoptedCdev, type CdevOptions, type PasidOptions } from './vfio/cdev.js';
export { Container } from './vfio/container.js';
export type { Type1Info } from './vfio/type1-info.js';
export { ContainerDirtyTracking } from './vfio/dirty-tracking.js';
export { Device, type DeviceInfo, type ZpciInfo } from './vfio/device.js';
export { DmaBuf, type BarRange } from './vfio/dma-buf.js';
export { DmaLog, type DmaLogOptions } from './vfio/dma-log.js';
export { Features, type FeatureOperation } from './vfio/features.js';
export { Graphics, type Plane, type PlaneName, type PlaneSource } from './vfio/graphics.js';
export { Eeh, type EehError, type EehReset, type EehState, type InjectOptions } from './vfio/eeh.js';
export { Group, type GroupStatus } from './vfio/group.js';
export type { DependentDevice, HotResetInfo } from './vfio/hot-reset.js';
export { Interrupt, type InterruptWaitOptions } from './vfio/interrupt.js';
export { Interrupts, type InterruptInfo, type InterruptName } from './vfio/interrupts.js';
export { IoEventfd, type IoEventfdOptions } from './vfio/ioeventfd.js';
export { Migration, type MigrationState } from './vfio/migration.js';
export { MigrationData, type PreCopyInfo } from './vfio/migration-data.js';
export { Region, type RegionInfo } from './vfio/region.js';
export { SharedRegion, type RegionMemory } from './vfio/shared-region.js';
export { Spapr, type CreateWindowOptions, type SpaprInfo, type SpaprWindow } from './vfio/spapr.js';
