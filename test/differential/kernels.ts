/** Which two kernels are compared, and how each sequence finds them clean. */
import { readFileSync } from 'node:fs';
import { VFIO_PCI_CONFIG_REGION_INDEX } from '../../lib/abi/vfio/region.js';
import { native } from '../../lib/kernel/native.js';
import type { Kernel } from '../../lib/kernel/kernel.js';
import { openDevice } from '../../lib/open.js';
import { Eventfd } from '../../lib/sim/eventfd.js';
import type { IommuKind, KernelVersion } from '../../lib/sim/index.js';
import type { FdTable } from '../../lib/sim/open-file.js';
import { HardwareState } from './hardware-state.js';
import type { Operation } from './operation.js';
import { Memory } from './memory.js';
import { findShape, makeMachine, usualShape, type Shape } from './places.js';
import type { Pair } from './sequence.js';
import { regionOf } from './pools.js';
import { putRegisters, Side } from './side.js';

/** Two kernels on machines of one shape. */
export interface Kernels {
  readonly name: string;
  readonly shape: Shape;
  readonly open: () => Pair;
}

/** The lab says which machine it is. */
export function realAndSimulated(): Kernels {
  const iommu = process.env['VFIO_LAB_IOMMU'] as IommuKind;
  const [version] = /^\d+\.\d+/.exec(readFileSync('/proc/sys/kernel/osrelease', 'utf8')) ?? [];
  const kernel = native();
  const shape = findShape(kernel, version as KernelVersion, iommu);
  const memory = new Memory(kernel);
  const hardware = shape.places.map(({ address }) => new HardwareState(address));
  return {
    name: `Linux ${shape.version} ${iommu}`,
    shape,
    open() {
      memory.scratch.fill(0);
      const left = new Side(kernel, memory, shape.places, peekReal);
      const right = simulatedSide(makeMachine(shape).kernel, shape);
      let late = false;
      return {
        left,
        right,
        close(operations) {
          const changed = operations.some(changesRegisters) ? shape.places.filter(({ hardware }) => hardware === 'edu') : [];
          const closed = changed.filter(({ name }) => !left.setRegisters(name, registers));
          left.close();
          right.close();
          for (const { address } of closed) putBack(kernel, address);
          if (operations.some(changesConfiguration)) for (const state of hardware) state.restore();
        },
        settle() {
          for (let waited = 0; !late && left.counters() !== right.counters(); waited += 1) {
            // Once is enough: what does not come is a difference that the eventfd's reader finds.
            late = waited === mostMilliseconds;
            Atomics.wait(idle, 0, 0, 1);
          }
        },
      };
    },
  };
}

/** Two simulated machines; `change` puts something between the second and its callers. */
export function simulatedTwice(version: KernelVersion, iommu: IommuKind, change: (kernel: Kernel) => Kernel = (kernel) => kernel): Kernels {
  const shape = usualShape(version, iommu);
  return {
    name: `simulated ${version} ${iommu}`,
    shape,
    open() {
      const left = simulatedSide(makeMachine(shape).kernel, shape);
      const right = simulatedSide(change(makeMachine(shape).kernel), shape);
      const close = (): void => [left, right].forEach((side) => side.close());
      return { left, right, close, settle: () => {} };
    },
  };
}

function simulatedSide(kernel: Kernel, { places }: Shape): Side {
  const peek = (fd: number): bigint => {
    const file = (kernel as Kernel & FdTable).lookup(fd);
    return file instanceof Eventfd ? file.count : 0n;
  };
  return new Side(kernel, new Memory(kernel), places, peek);
}

function peekReal(fd: number): bigint {
  const info = native().files.readFile(`/proc/self/fdinfo/${fd}`);
  const [, count] = /^eventfd-count:\s*([0-9a-f]+)$/m.exec(typeof info === 'number' ? '' : new TextDecoder().decode(info)) ?? [];
  return BigInt(`0x${count ?? '0'}`);
}

/** How long an interrupt of an emulated device may take on a busy machine. */
const mostMilliseconds = 400;
const idle = new Int32Array(new SharedArrayBuffer(4));

/** What an edu keeps over open and close. */
function changesRegisters({ call }: Operation): boolean {
  return call === 'pwrite' || call === 'store';
}

/** What hardware may keep over a reset. */
function changesConfiguration(operation: Operation): boolean {
  return operation.call === 'pwrite' && regionOf(operation.offset) === VFIO_PCI_CONFIG_REGION_INDEX;
}

/** The registers of an edu as they are when the machine starts. */
const registers = new Map<number, bigint>([0x20, 0x80, 0x88, 0x90].map((register) => [register, 0n] as const))
  .set(0x04, 0xffff_ffffn)
  .set(0x64, 0xffff_ffffn);

/** A device that does not open was not changed. */
function putBack(kernel: Kernel, address: string): void {
  const opened = tryOpen(kernel, address);
  if (opened === undefined) return;
  using device = opened;
  putRegisters(kernel, device.device.fd, registers);
}

function tryOpen(kernel: Kernel, address: string): ReturnType<typeof openDevice> | undefined {
  try {
    return openDevice(kernel, address, { unsafeNoIommu: true });
  } catch (error) {
    if ((error as { code?: string }).code === undefined) throw error;
    return undefined;
  }
}
