/** System calls as data, so that the same sequence can be made on either kernel, written to a file and made shorter. */

/**
 * A number of either kernel, by what it stands for where it stands for something:
 *
 * - `7`, `'0xffffffffffffffff'`: itself;
 * - `'#12'`: the fd, or the mapping, that operation 12 gave; `'#12.out_ioas_id'`: what came back in that field of it;
 * - `'memory+0x1000'`: an address in the memory that devices are given; `'scratch+0x10'`: in the memory for lists and bitmaps.
 *
 * What an operation did not give, or was closed since, is a number that stands for nothing.
 */
export type Value = number | string;

/** Whether it is an address, which no two kernels share. */
export const isAddress = (value: Value): boolean => /^(memory|scratch)/.test(String(value));

/** A number in memory: its C type, its value, and of a number that may come back as an fd what that is called. */
export type Word = readonly ['u8' | 'u32' | 's32' | 'u64', Value, string?];

export type Call =
  /** `path`: 'container', 'iommufd', 'group NAME' and 'node NAME' of a device, or a path. */
  | { readonly call: 'open'; readonly path: string }
  | { readonly call: 'close'; readonly file: Value }
  | Ioctl
  | { readonly call: 'read'; readonly file: Value; readonly length: number }
  | { readonly call: 'write'; readonly file: Value; readonly words: readonly Word[] }
  | { readonly call: 'pread'; readonly file: Value; readonly offset: Value; readonly length: number }
  | { readonly call: 'pwrite'; readonly file: Value; readonly offset: Value; readonly bytes: readonly number[] }
  | { readonly call: 'eventfd'; readonly initial: number }
  | { readonly call: 'memfd'; readonly size: number }
  | {
      readonly call: 'mmap';
      readonly file: Value;
      readonly length: number;
      readonly protection: number;
      readonly flags: number;
      readonly offset: Value;
    }
  | { readonly call: 'munmap'; readonly mapping: Value }
  | { readonly call: 'load'; readonly mapping: Value; readonly offset: number; readonly width: Width }
  | { readonly call: 'store'; readonly mapping: Value; readonly offset: number; readonly width: Width; readonly value: Value }
  /** Makes a mediated device of that type ('mtty-1'): a place called '#ID'. It is there until the sequence ends. */
  | { readonly call: 'create'; readonly type: string }
  /** No system call: puts words into the memory for lists and bitmaps. */
  | { readonly call: 'poke'; readonly at: number; readonly words: readonly Word[] };

export type Width = 1 | 2 | 4 | 8;

export interface Ioctl {
  readonly call: 'ioctl';
  readonly file: Value;
  /** The name in `lib/abi/requests.ts`. */
  readonly request: string;
  /** The argument itself; without it, a pointer to what follows. */
  readonly value?: number;
  /** Text; `'@NAME'` is the address of a device of the machine. */
  readonly text?: string;
  /** The fields of the request's struct, those that are not zero. */
  readonly fields?: Readonly<Record<string, Value>>;
  /** What comes after the struct's fixed part. */
  readonly words?: readonly Word[];
}

/** `id` is what later operations call it. */
export type Operation = Call & { readonly id: number };
