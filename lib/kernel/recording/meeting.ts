import type { Asked, Told } from './entries.js';

/** A call: how it is made, how its answer is written down, and how the answer comes back from that. */
export interface Act<T, Made = T> {
  make(): Made;
  tell(answer: T): Told;
  give(told: Told): T;
}

/** Who meets the calls that `seam` describes: it makes them and writes them down, or answers them from what was written. */
export interface Meeting {
  meet<T>(asked: Asked, act: Act<T>): T;
  /** One that is made on another thread. */
  meetAsync(asked: Asked, act: Act<number, Promise<number>>): Promise<number>;
  /** There is memory that devices may reach, which has this number. */
  mapped(id: number, memory: ArrayBuffer): void;
  unmapped(id: number): void;
  /** There is memory that a request may point to. */
  pointedTo(id: number, memory: ArrayBuffer): void;
  /** A watch calls `ready`, with a count if it counts, whenever the recording is to say so. */
  watched(id: number, ready: (count: number) => void): void;
  /** A watch calls: `go` tells the program. */
  came(id: number, count: number | undefined, go: () => void): void;
}
