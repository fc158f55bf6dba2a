/**
 * What drivers of devices share.
 *
 * @module vfio/driver
 */
export {
  bit,
  bits,
  reg16,
  reg32,
  reg64,
  reg8,
  registers,
  type Field,
  type NamedField,
  type Fields,
  type Register,
  type Registers,
  type ValueOf,
} from '../registers/declaration.js';
export { memoryBarrier } from './barrier.js';
export type { FieldValues } from './fields.js';
export { pollUntil, type PollOptions } from './poll.js';
export { DeviceRegister, deviceRegisters, type DeviceRegisters, type UntilOptions } from './registers.js';
export { DescriptorRing, type Descriptor } from './ring.js';
