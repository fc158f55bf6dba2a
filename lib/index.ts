/** `vfio`: userspace device drivers in Node.js. */
export { BadAnswerError, type Capability } from './abi/chain.js';
export { ClosedError, KernelError } from './kernel/error.js';
export type { Files, Kernel, Mapping, Mmio, Watch } from './kernel/kernel.js';
export { native } from './kernel/native.js';
export { Resource } from './kernel/resource.js';
export type { AddressSpace, AllocateOptions, IovaRange, MapOptions } from './memory/address-space.js';
export { DmaBuffer } from './memory/buffer.js';
export { openDevice, OpenDevice } from './open.js';
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
export { Container, type Type1Info } from './vfio/container.js';
export { Device, type DeviceInfo } from './vfio/device.js';
export { Group, type GroupStatus } from './vfio/group.js';
export { Interrupt, type WaitOptions } from './vfio/interrupt.js';
export { Interrupts, type InterruptInfo, type InterruptName } from './vfio/interrupts.js';
export { Region, type RegionInfo } from './vfio/region.js';
