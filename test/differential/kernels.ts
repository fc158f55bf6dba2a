/** Which two kernels are compared, and how each sequence finds them clean. */
import { readFileSync } from 'node:fs';
import { native } from '../../lib/kernel/native.js';
import type { Kernel } from '../../lib/kernel/kernel.js';
import { Eventfd } from '../../lib/sim/eventfd.js';
import type { IommuKind, KernelVersion } from '../../lib/sim/index.js';
import type { FdTable } from '../../lib/sim/open-file.js';
import { HardwareState, uses } from './hardware-state.js';
import { Memory } from './memory.js';
import { findShape, makeMachine, usualShape, type Shape } from './places.js';
import type { Pair } from './sequence.js';
import { Side } from './side.js';

/** Two kernels on machines of one shape. */
export interface Kernels {
  readonly name: string;
  readonly shape: Shape;
  /** `patience`: how many milliseconds an interrupt may take. */
  readonly open: (patience?: number) => Pair;
}

/** The lab says which machine it is. */
export function realAndSimulated(): Kernels {
  const iommu = process.env['VFIO_LAB_IOMMU'] as IommuKind;
  const [version] = /^\d+\.\d+/.exec(readFileSync('/proc/sys/kernel/osrelease', 'utf8')) ?? [];
  const kernel = native();
  const shape = findShape(kernel, version as KernelVersion, iommu);
  const memory = new Memory(kernel);
  const states = shape.places.map((place) => new HardwareState(kernel, place));
  return {
    name: `Linux ${shape.version} ${iommu}`,
    shape,
    open(patience = mostMilliseconds) {
      memory.given.fill(0);
      const left = new Side(kernel, memory, shape.places, peekReal);
      const right = simulatedSide(makeMachine(shape).kernel, shape);
      let late = false;
      return {
        left,
        right,
        close(operations) {
          const used = states.filter(({ place }) => operations.some((operation) => uses(operation, place)));
          const written = operations.some(({ call }) => call === 'pwrite' || call === 'store');
          const closed = used.filter((state) => written && !state.putBack(left.filesOf(state.place.name)));
          left.close();
          right.close();
          for (const state of closed) state.openAndPutBack();
          for (const state of used) state.restore();
        },
        settle() {
          for (let waited = 0; !late && left.counters() !== right.counters(); waited += 1) {
            // Once is enough: what does not come is a difference that the eventfd's reader finds.
            late = waited === patience;
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
const mostMilliseconds = 3000;
const idle = new Int32Array(new SharedArrayBuffer(4));
