import type { Request } from '../abi/ioctl.js';
import type { StructArray, StructType, Values } from '../abi/struct.js';
import type { Descriptor } from './descriptor.js';
import { KernelError, ofElement } from './error.js';

type FieldsOf<T extends StructType> = T extends StructType<infer F> ? F : never;

/**
 * The same request for each of a list: first the structs are filled, and then they go to the kernel in one crossing. Their
 * memory is kept for the next list.
 */
export class RequestList<T extends StructType> {
  readonly #descriptor: Descriptor;
  readonly #request: Request;
  readonly #type: T;
  #structs: StructArray<FieldsOf<T>>;
  #results = new Int32Array(16);
  #count = 0;

  constructor(descriptor: Descriptor, request: Request, type: T) {
    this.#descriptor = descriptor;
    this.#request = request;
    this.#type = type;
    this.#structs = type.array(new ArrayBuffer(this.#results.length * type.size));
  }

  /** The struct at that place. It is one object, which is moved there. */
  at(index: number): Values<FieldsOf<T>> {
    return this.#structs.at(index);
  }

  /** Takes a new list. `fill` writes every field, as there is what was before. What it throws says for which element. */
  fill<E>(list: readonly E[], fill: (struct: Values<FieldsOf<T>>, element: E, index: number) => void): void {
    if (list.length > this.#results.length) {
      this.#results = new Int32Array(list.length);
      this.#structs = this.#type.array(new ArrayBuffer(list.length * this.#type.size));
    }
    this.#count = list.length;
    let index = 0;
    try {
      for (; index < list.length; index += 1) fill(this.#structs.at(index), list[index] as E, index);
    } catch (error) {
      throw ofElement(index, error);
    }
  }

  /** Makes the requests from the one at `first` on. Returns the place of the one that was refused, or how many there are. */
  make(first = 0): number {
    const { kernel, fd } = this.#descriptor;
    const { size } = this.#type;
    const structs = this.#structs.bytes.subarray(first * size, this.#count * size);
    return first + kernel.ioctlMany(fd, this.#request.number, structs, this.#results.subarray(first, this.#count));
  }

  /** Why the one at that place was refused. */
  refusal(index: number): KernelError {
    return new KernelError(this.#results[index] ?? 0, { syscall: 'ioctl', request: this.#request, path: this.#descriptor.path });
  }
}
