import { now } from './clock.js';
import type { Kernel, Mapping, Mmio } from './kernel.js';
import { DescribedMmio, makeAccess, type RegisterAccess, type RegisterValue } from './register-access.js';

/** A register access that was made, and what came back. */
export interface TracedAccess extends RegisterAccess {
  /** The device's fd, and the region of it that the registers are in. */
  readonly fd: number;
  readonly region: number;
  readonly result: RegisterValue;
  /** When it began, by `performance.now()`, and how long it took; milliseconds. */
  readonly began: number;
  readonly milliseconds: number;
  /** 'read32(5 region 0, 0x8) = 0x80'. */
  readonly text: string;
}

/** Where VFIO has region n of a device file. */
const regionSize = 2 ** 40;

/** A kernel that makes every register access through a mapping of `kernel`, and then reports it; those that throw, too. */
export function traceRegisters(kernel: Kernel, report: (access: TracedAccess) => void): Kernel {
  return {
    ...kernel,
    mmap(fd, length, protection, flags, offset, node) {
      const mapping = kernel.mmap(fd, length, protection, flags, offset, node);
      if (typeof mapping === 'number' || mapping.memory !== undefined) return mapping;
      const region = Math.floor(offset / regionSize);
      const start = offset % regionSize;
      const traced = (mmio: () => Mmio): Mmio =>
        new DescribedMmio((access) => {
          const began = now();
          let result: RegisterValue;
          let failure: unknown;
          try {
            return (result = makeAccess(mmio(), access));
          } catch (error) {
            failure = error;
            throw error;
          } finally {
            const milliseconds = now() - began;
            const text = describeAccess(access, { fd, region, start, result, failure });
            report({ ...access, fd, region, result, began, milliseconds, text });
          }
        });
      return tracedMapping(mapping, traced);
    },
  };
}

function tracedMapping(mapping: Mapping, traced: (mmio: () => Mmio) => Mmio): Mapping {
  const [mmio, fastMmio] = [traced(() => mapping.mmio), traced(() => mapping.fastMmio)];
  return { length: mapping.length, memory: undefined, mmio, fastMmio, populate: () => mapping.populate(), unmap: () => mapping.unmap() };
}

interface Outcome {
  readonly fd: number;
  readonly region: number;
  /** Where in the region the mapping begins. */
  readonly start: number;
  readonly result: RegisterValue;
  readonly failure: unknown;
}

function describeAccess(access: RegisterAccess, { fd, region, start, result, failure }: Outcome): string {
  const { name, offset = 0, value, into, offsets, values, poll } = access;
  const place = `${fd} region ${region}`;
  const at = (within: number): string => `0x${(start + within).toString(16)}`;
  const list = (elements: Iterable<number | bigint>): string => `[${[...elements].map((each) => hexadecimal(each)).join(', ')}]`;
  const parts = [
    place,
    ...(offsets ? [`[${[...offsets].map(at).join(', ')}]`] : [at(offset)]),
    ...(value !== undefined ? [hexadecimal(value)] : []),
    ...(values ? [list(values)] : []),
    ...(poll ? [`mask=${hexadecimal(poll.mask)}`, `wanted=${hexadecimal(poll.wanted)}`, `${poll.timeoutMilliseconds} ms`] : []),
  ];
  const call = `${name}(${parts.join(', ')})`;
  if (failure !== undefined) return `${call} = ${failure instanceof Error ? failure.message : String(failure)}`;
  if (into !== undefined) return `${call} = ${list(into)}`;
  if (poll !== undefined && result === undefined) return `${call} = timeout`;
  return result === undefined ? call : `${call} = ${hexadecimal(result)}`;
}

function hexadecimal(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}
