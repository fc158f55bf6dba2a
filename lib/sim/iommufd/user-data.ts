/** Data for the driver of an IOMMU, which /dev/iommu hands on without a look at it. */
import { errno } from '../../abi/errno.js';
import type { StructType } from '../../abi/struct.js';
import type { Argument } from '../argument.js';

/** One struct, of a type that the driver knows or refuses. */
export class UserData {
  readonly type: number;
  readonly length: number;
  readonly #address: bigint;
  readonly #argument: Argument;

  constructor(argument: Argument, data: { readonly type: number; readonly length: number; readonly address: bigint }) {
    this.#argument = argument;
    this.type = data.type;
    this.length = data.length;
    this.#address = data.address;
  }

  /** iommu_copy_struct_from_user: the struct, or -errno. `last` is the last field that every caller has to give. */
  copy<T extends StructType>(type: number, struct: T, last: string): ReturnType<T['create']> | number {
    if (this.type !== type || this.length < struct.offsetofend(last) || this.length > struct.size) return -errno.EINVAL;
    const bytes = this.#argument.readAt(this.#address, this.length);
    if (bytes === undefined) return -errno.EFAULT;
    const view = struct.create();
    view.bytes.set(bytes);
    return view as ReturnType<T['create']>;
  }

  /** iommu_copy_struct_to_user: as much as the caller gave. 0 or -errno. */
  answer(bytes: Uint8Array): number {
    return this.#argument.writeAt(this.#address, bytes.subarray(0, this.length)) ? 0 : -errno.EFAULT;
  }
}

/** Entries of equal length, one behind the other. */
export class UserDataArray {
  readonly type: number;
  readonly count: number;
  readonly #length: number;
  readonly #address: bigint;
  readonly #argument: Argument;

  constructor(
    argument: Argument,
    data: { readonly type: number; readonly length: number; readonly count: number; readonly address: bigint },
  ) {
    this.#argument = argument;
    this.type = data.type;
    this.count = data.count;
    this.#length = data.length;
    this.#address = data.address;
  }

  /** iommu_copy_struct_from_full_user_array: every entry, or -errno. A short one ends in zeros, and so has a long one to. */
  all<T extends StructType>(type: number, struct: T): readonly ReturnType<T['create']>[] | number {
    if (this.type !== type || this.count === 0) return -errno.EINVAL;
    const all: ReturnType<T['create']>[] = [];
    for (let index = 0; index < this.count; index += 1) {
      const bytes = this.#argument.readAt(BigInt.asUintN(64, this.#address + BigInt(index * this.#length)), this.#length);
      if (bytes === undefined) return -errno.EFAULT;
      if (bytes.subarray(struct.size).some((byte) => byte !== 0)) return -errno.E2BIG;
      const view = struct.create();
      view.bytes.set(bytes.subarray(0, struct.size));
      all.push(view as ReturnType<T['create']>);
    }
    return all;
  }

  /** iommu_copy_struct_from_user_array: one entry. */
  at(index: number): UserData {
    const address = BigInt.asUintN(64, this.#address + BigInt(index * this.#length));
    return new UserData(this.#argument, { type: this.type, length: this.#length, address });
  }
}
