/** One request of /dev/iommu, and how its struct comes in and goes out. */
import { errno } from '../../abi/errno.js';
import type { Request } from '../../abi/ioctl.js';
import type { StructType } from '../../abi/struct.js';
import type { Argument } from '../argument.js';
import type { IommuGroup } from '../iommu-group.js';
import type { FdTable, OpenFile } from '../open-file.js';
import type { Platform } from '../platform.js';
import type { GroupAttachments } from './attachments.js';
import type { Compatibility } from './compatibility.js';
import type { ObjectTable } from './objects.js';
import type { ExposedPages } from './exposed-pages.js';

/** What the requests of one open file share. */
export interface Context {
  readonly platform: Platform;
  /** Where files go that a request makes. */
  readonly fds: FdTable;
  /** The open file itself, for files that need it to stay. */
  readonly file: OpenFile;
  readonly objects: ObjectTable;
  /** What of the file can be mapped. */
  readonly exposed: ExposedPages;
  /** What the devices of each group are attached to. */
  readonly attachments: WeakMap<IommuGroup, GroupAttachments>;
  readonly compatibility: Compatibility;
  /** IOMMU_OPTION_RLIMIT_MODE: locked memory counts against the process, and not the user. */
  accountsToProcess: boolean;
}

/** The caller, to be answered. */
export interface Caller {
  readonly argument: Argument;
  /** iommufd_ucmd_respond: as much of the struct as the caller has. 0 or -EFAULT. */
  respond(): number;
}

export interface Operation {
  readonly request: Request;
  /** The same under another number. */
  as(request: Request): Operation;
  run(context: Context, argument: Argument, size: number): number;
}

/** `size` is the caller's length word: less than the minimum is EINVAL, and what a kernel does not know has to be zero. */
export function operation<T extends StructType>(
  request: Request,
  type: T,
  execute: (context: Context, fields: ReturnType<T['create']>, caller: Caller) => number,
): Operation {
  return {
    request,
    as: (other) => operation(other, type, execute),
    run(context, argument, size) {
      if (size < request.minimum) return -errno.EINVAL;
      const tail = size > type.size ? argument.copyFrom(size - type.size, type.size) : new Uint8Array();
      if (tail === undefined) return -errno.EFAULT;
      if (tail.some((byte) => byte !== 0)) return -errno.E2BIG;
      const known = Math.min(size, type.size);
      const fields = argument.struct(type, known);
      if (fields === undefined) return -errno.EFAULT;
      return execute(context, fields, {
        argument,
        respond: () => (argument.copyTo(fields.bytes.subarray(0, known)) ? 0 : -errno.EFAULT),
      });
    },
  };
}
