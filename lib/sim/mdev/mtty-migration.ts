/** Migration of the kernel's sample driver mtty: its states, its stream, and the files the stream goes through. */
import { errno } from '../../abi/errno.js';
import {
  VFIO_DEVICE_STATE_PRE_COPY,
  VFIO_DEVICE_STATE_PRE_COPY_P2P,
  VFIO_DEVICE_STATE_RESUMING,
  VFIO_DEVICE_STATE_RUNNING,
  VFIO_DEVICE_STATE_STOP,
  VFIO_DEVICE_STATE_STOP_COPY,
  VFIO_MIGRATION_P2P,
  VFIO_MIGRATION_PRE_COPY,
  VFIO_MIGRATION_STOP_COPY,
} from '../../abi/vfio/migration.js';
import type { Argument } from '../argument.js';
import { takePrecopyInfo, type Migration } from '../migration.js';
import { OpenFile } from '../open-file.js';
import { portSize, type Uart } from './uart.js';

/** The stream: a header of magic, major and minor version, number of ports and flags, and the ports. */
const headerSize = 24;
const magic = 0x7e9d_0989_8c3e_2c4en;
const majorVersion = 1;
const minorVersion = 0;
/** The driver's buffer has room for two ports, whatever the device has. */
const bufferSize = headerSize + 2 * portSize;

function preCopying(state: number): boolean {
  return state === VFIO_DEVICE_STATE_PRE_COPY || state === VFIO_DEVICE_STATE_PRE_COPY_P2P;
}

/** What migration asks of the device. */
interface Target {
  readonly ports: readonly Uart[];
  readonly precopyFlags: boolean;
}

/** A data file. The device holds it until the state that made it ends; then it is of no more use to whoever has it. */
abstract class DataFile extends OpenFile {
  readonly data = new Uint8Array(bufferSize);
  filled = 0;
  protected position = 0;
  protected disabled = false;

  disable(): void {
    this.disabled = true;
    this.filled = 0;
    this.position = 0;
    this.drop();
  }

  /** It is read or written, and never both. */
  override read(_bytes: Uint8Array): number {
    return -errno.EBADF;
  }
  override write(_bytes: Uint8Array): number {
    return -errno.EBADF;
  }
  override pread(): number {
    return -errno.ESPIPE;
  }
  override pwrite(): number {
    return -errno.ESPIPE;
  }
}

class SavingFile extends DataFile {
  readonly #migration: MttyMigration;
  readonly #device: Target;

  constructor(migration: MttyMigration, device: Target) {
    super();
    this.#migration = migration;
    this.#device = device;
    const header = new DataView(this.data.buffer);
    header.setBigUint64(0, magic, true);
    header.setUint32(8, majorVersion, true);
    header.setUint32(12, minorVersion, true);
    header.setUint32(16, device.ports.length, true);
    this.filled = headerSize;
  }

  append(bytes: Uint8Array): void {
    this.data.set(bytes, this.filled);
    this.filled += bytes.byteLength;
  }

  override read(bytes: Uint8Array): number {
    if (this.disabled) return -errno.ENODEV;
    const part = this.data.subarray(this.position, Math.min(this.filled, this.position + bytes.byteLength));
    bytes.set(part);
    this.position += part.byteLength;
    return part.byteLength;
  }

  override ioctl(request: number, argument: Argument): number {
    const info = takePrecopyInfo(this.#device, request, argument);
    if (typeof info === 'number') return info;
    if (!preCopying(this.#migration.state)) return -errno.EINVAL;
    if (this.disabled) return -errno.ENODEV;
    info.initial_bytes = BigInt(this.filled - this.position);
    info.dirty_bytes = 0n;
    return argument.copyTo(info.bytes) ? 0 : -errno.EFAULT;
  }
}

class ResumingFile extends DataFile {
  readonly #device: Target;

  constructor(device: Target) {
    super();
    this.#device = device;
  }

  /** The write that completes a wrong header is EFAULT; its bytes have arrived all the same. */
  override write(bytes: Uint8Array): number {
    if (this.position + bytes.byteLength > headerSize + this.#device.ports.length * portSize) return -errno.ENOMEM;
    if (this.disabled) return -errno.ENODEV;
    this.data.set(bytes, this.position);
    this.position += bytes.byteLength;
    const completes = this.filled < headerSize && this.filled + bytes.byteLength >= headerSize;
    this.filled += bytes.byteLength;
    return completes && !this.#valid ? -errno.EFAULT : bytes.byteLength;
  }

  get #valid(): boolean {
    const header = new DataView(this.data.buffer);
    return (
      header.getBigUint64(0, true) === magic &&
      header.getUint32(8, true) === majorVersion &&
      header.getUint32(12, true) === minorVersion &&
      header.getUint32(16, true) === this.#device.ports.length &&
      header.getUint32(20, true) === 0
    );
  }
}

export class MttyMigration implements Migration {
  readonly flags = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY;
  state = VFIO_DEVICE_STATE_RUNNING;
  readonly #device: Target;
  #saving: SavingFile | undefined;
  #resuming: ResumingFile | undefined;

  constructor(device: Target) {
    this.#device = device;
  }

  get dataSize(): number {
    return headerSize + this.#device.ports.length * portSize;
  }

  step(next: number): OpenFile | undefined | number {
    switch (next) {
      case VFIO_DEVICE_STATE_PRE_COPY:
      case VFIO_DEVICE_STATE_PRE_COPY_P2P:
        return preCopying(this.state) ? undefined : this.#save();
      case VFIO_DEVICE_STATE_STOP_COPY: {
        const file = this.#save();
        for (const port of this.#device.ports) this.#saving?.append(port.save());
        return file;
      }
      case VFIO_DEVICE_STATE_RESUMING:
        this.#resuming = new ResumingFile(this.#device);
        this.#resuming.retain();
        return this.#resuming;
      case VFIO_DEVICE_STATE_STOP:
        if (this.state === VFIO_DEVICE_STATE_RESUMING && !this.#load()) return -errno.EINVAL;
        this.closeFiles();
        return undefined;
      default:
        this.closeFiles();
        return undefined;
    }
  }

  /** A reset leaves the device running, in whatever state it was. */
  reset(): void {
    this.state = VFIO_DEVICE_STATE_RUNNING;
    this.closeFiles();
  }

  closeFiles(): void {
    this.#saving?.disable();
    this.#saving = undefined;
    this.#resuming?.disable();
    this.#resuming = undefined;
  }

  /** A new file, unless there is one from a state before: then it goes on, and nobody is told of it again. */
  #save(): OpenFile | undefined {
    if (this.#saving !== undefined) return undefined;
    this.#saving = new SavingFile(this, this.#device);
    this.#saving.retain();
    return this.#saving;
  }

  /**
   * False for a stream that is not all there. Without a file, the device was closed while it resumed: the real driver
   * looks for its data in one all the same, and takes the kernel down.
   */
  #load(): boolean {
    const file = this.#resuming;
    if (file === undefined || file.filled < this.dataSize) return false;
    this.#device.ports.forEach((port, index) => {
      const start = headerSize + index * portSize;
      port.load(file.data.subarray(start, start + portSize));
    });
    return true;
  }
}
