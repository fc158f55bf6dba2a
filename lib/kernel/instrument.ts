import type { Kernel } from './kernel.js';

/** Makes the kernel that a program gets in place of the real one; it calls `real` if it wants that one. */
export type Instrument = (real: () => Kernel) => Kernel;

/** Global, so that it is one for all copies of this package in a process: those that are a part of a bundle too. */
const place = Symbol.for('vfio.instrument');
const holder = globalThis as { [place]?: Instrument };

/** From now on, `native()` gives what `instrument` makes: how `vfio trace` and `vfio replay` stand between a program and the kernel. */
export function setInstrument(instrument: Instrument): void {
  holder[place] = instrument;
}

/** Something stands in for the real kernel, which nobody may look past. */
export function isInstrumented(): boolean {
  return holder[place] !== undefined;
}

/** The real kernel, or what stands in for it. */
export function instrumented(real: () => Kernel): Kernel {
  return holder[place]?.(real) ?? real();
}
