import { Readable, Writable } from 'node:stream';
import { errno } from '../abi/errno.js';
import { VFIO_MIG_GET_PRECOPY_INFO, VFIO_PRECOPY_INFO_REINIT, vfio_precopy_info } from '../abi/vfio/migration.js';
import { Descriptor } from '../kernel/descriptor.js';
import { check } from '../kernel/error.js';
import { Resource } from '../kernel/resource.js';

/** What VFIO_MIG_GET_PRECOPY_INFO says. Bytes, about. */
export interface PreCopyInfo {
  /** Of what a device needs before it is worth stopping the source. */
  readonly initialBytes: bigint;
  /** Of what changed since it was read. */
  readonly dirtyBytes: bigint;
  /** New initial data came up; only after `Migration.reportNewInitialData()`. */
  readonly newInitialData: boolean;
}

/** How much one read takes. */
const chunk = 1 << 20;

/** The file through which a device's state comes out of it, or goes into it. What the bytes mean is its driver's affair. */
export class MigrationData extends Resource {
  readonly #descriptor: Descriptor;

  /** @internal */
  constructor(owner: Resource, device: Descriptor, fd: number) {
    super(`Migration data of ${device.path}`, owner);
    this.#descriptor = Descriptor.adopt(device.kernel, fd, `migration data of ${device.path}`);
  }

  /** The fd, to hand to another program. */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /** Reads what is there, at most all of `bytes`. 0: there is no more in this state. @throws KernelError */
  read(bytes: Uint8Array): number {
    const result = this.#descriptor.kernel.read(this.fd, bytes);
    // In pre-copy, the end of what there is for now.
    if (result === -errno.ENOMSG) return 0;
    return check(result, { syscall: 'read', path: this.#descriptor.path });
  }

  /** Writes all of `bytes`. @throws KernelError */
  write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.byteLength; ) {
      const result = this.#descriptor.kernel.write(this.fd, bytes.subarray(done));
      const written = check(result, { syscall: 'write', path: this.#descriptor.path });
      if (written === 0) throw new RangeError(`${this.label} takes no more than ${done} of ${bytes.byteLength} bytes`);
      done += written;
    }
  }

  /** VFIO_MIG_GET_PRECOPY_INFO, in the states 'pre-copy' and 'pre-copy-p2p'. Linux 6.2. */
  preCopyInfo(): PreCopyInfo {
    const info = vfio_precopy_info.create();
    info.argsz = vfio_precopy_info.size;
    this.#descriptor.ioctl(VFIO_MIG_GET_PRECOPY_INFO, info.bytes);
    return {
      initialBytes: info.initial_bytes,
      dirtyBytes: info.dirty_bytes,
      newInitialData: (info.flags & VFIO_PRECOPY_INFO_REINIT) !== 0,
    };
  }

  /** The rest of the state as a stream, which ends when there is no more in this state. Reads are synchronous. */
  readable(): Readable {
    const take = (bytes: Uint8Array): number => this.read(bytes);
    return new Readable({
      highWaterMark: chunk,
      read() {
        try {
          const bytes = new Uint8Array(new ArrayBuffer(chunk));
          const length = take(bytes);
          this.push(length === 0 ? null : bytes.subarray(0, length));
        } catch (error) {
          this.destroy(error as Error);
        }
      },
    });
  }

  /** A stream that puts state into the device. Writes are synchronous. */
  writable(): Writable {
    return new Writable({
      highWaterMark: chunk,
      write: (data: Uint8Array, _encoding, done) => {
        try {
          this.write(data);
          done();
        } catch (error) {
          done(error as Error);
        }
      },
    });
  }

  protected override release(): void {
    this.#descriptor.close();
  }
}
