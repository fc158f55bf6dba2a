import {
  VFIO_DEVICE_FEATURE_MIGRATION,
  VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
  VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
  VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
  VFIO_MIGRATION_P2P,
  VFIO_MIGRATION_PRE_COPY,
  VFIO_MIGRATION_STOP_COPY,
  vfio_device_feature_mig_data_size,
  vfio_device_feature_mig_state,
  vfio_device_feature_migration,
} from '../abi/vfio/migration.js';
import type { Descriptor } from '../kernel/descriptor.js';
import { expected } from '../kernel/error.js';
import type { Resource } from '../kernel/resource.js';
import type { Features } from './features.js';
import { MigrationData } from './migration-data.js';

/** The states in the order of their numbers, as VFIO_DEVICE_STATE_… has them. */
const states = ['error', 'stop', 'running', 'stop-copy', 'resuming', 'running-p2p', 'pre-copy', 'pre-copy-p2p'] as const;

/** What of a device runs, stands still or is carried over. @useDeclaredType */
export type MigrationState = (typeof states)[number];

/** Those in which state moves through the data file. */
const moving: ReadonlySet<MigrationState> = new Set(['stop-copy', 'resuming', 'pre-copy', 'pre-copy-p2p']);

/**
 * Taking a device's state out of it and putting it into another of its kind. The kernel walks from state to state by
 * itself, through those in between: from 'running' to 'stop-copy' it stops the device first. Linux 5.18.
 */
export class Migration {
  /** State can be taken out of the stopped device. */
  readonly stopCopy: boolean;
  /** The '-p2p' states exist: the device starts no DMA and still answers that of others. */
  readonly p2p: boolean;
  /** State can be taken while the device runs. Linux 6.2. */
  readonly preCopy: boolean;
  readonly #owner: Resource;
  readonly #descriptor: Descriptor;
  readonly #features: Features;
  #data: MigrationData | undefined;

  /** `Device.migration` is the way to it. @internal */
  constructor(owner: Resource, descriptor: Descriptor, features: Features) {
    const answer = vfio_device_feature_migration.create();
    features.get(VFIO_DEVICE_FEATURE_MIGRATION, answer.bytes);
    const has = (flag: number): boolean => (answer.flags & BigInt(flag)) !== 0n;
    this.stopCopy = has(VFIO_MIGRATION_STOP_COPY);
    this.p2p = has(VFIO_MIGRATION_P2P);
    this.preCopy = has(VFIO_MIGRATION_PRE_COPY);
    this.#owner = owner;
    this.#descriptor = descriptor;
    this.#features = features;
  }

  /** The state now. An 'error' is left by `Device.reset()` only. */
  get state(): MigrationState {
    const answer = vfio_device_feature_mig_state.create();
    this.#features.get(VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, answer.bytes);
    const state = states[answer.device_state];
    if (state === undefined) throw new RangeError(`The kernel answered the unknown migration state ${answer.device_state}`);
    return state;
  }

  /**
   * Goes to that state. Returns the file through which state moves there: to read in 'pre-copy', 'pre-copy-p2p' and
   * 'stop-copy', to write in 'resuming'; it is closed when a state without one is reached. Undefined in other states.
   *
   * A device that cannot go there stays where it came to; one that cannot even do that is in 'error'.
   * @throws KernelError
   */
  setState(state: MigrationState): MigrationData | undefined {
    const number = states.indexOf(state);
    if (number < 0) throw expected(`one of ${states.join(', ')}`, 'state', state);
    const request = vfio_device_feature_mig_state.create();
    request.device_state = number;
    request.data_fd = -1;
    this.#features.set(VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, request.bytes);
    if (request.data_fd >= 0) {
      this.#data?.close();
      this.#data = new MigrationData(this.#owner, this.#descriptor, request.data_fd);
    } else if (!moving.has(state)) {
      this.#data?.close();
      this.#data = undefined;
    }
    return this.#data;
  }

  /** About how many bytes 'stop-copy' would move now. Linux 6.2. */
  get dataSize(): bigint {
    const answer = vfio_device_feature_mig_data_size.create();
    this.#features.get(VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, answer.bytes);
    return answer.stop_copy_length;
  }

  /** From now on `MigrationData.preCopyInfo()` tells of new initial data. Linux 7.1. */
  reportNewInitialData(): void {
    this.#features.set(VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2);
  }

  /** Stops the device and gives its whole state to be read. */
  save(): MigrationData {
    return this.#expectData(this.setState('stop-copy'));
  }

  /** Stops the device and takes its whole state: write it, then `setState('running')`. */
  restore(): MigrationData {
    return this.#expectData(this.setState('resuming'));
  }

  #expectData(data: MigrationData | undefined): MigrationData {
    if (data === undefined) throw new RangeError('The device was in that state already; leave it first');
    return data;
  }
}
