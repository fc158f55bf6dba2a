/** Migration, as far as all drivers share it: the state machine and the device features of the kernel's vfio_main.c. */
import { errno } from '../abi/errno.js';
import { VFIO_DEVICE_FEATURE_GET, VFIO_DEVICE_FEATURE_SET } from '../abi/vfio/feature.js';
import {
  VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
  VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
  VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
  VFIO_DEVICE_FEATURE_MIGRATION,
  VFIO_DEVICE_STATE_ERROR,
  VFIO_DEVICE_STATE_PRE_COPY,
  VFIO_DEVICE_STATE_PRE_COPY_P2P,
  VFIO_DEVICE_STATE_RESUMING,
  VFIO_DEVICE_STATE_RUNNING,
  VFIO_DEVICE_STATE_RUNNING_P2P,
  VFIO_DEVICE_STATE_STOP,
  VFIO_DEVICE_STATE_STOP_COPY,
  VFIO_MIG_GET_PRECOPY_INFO,
  VFIO_MIGRATION_P2P,
  VFIO_MIGRATION_PRE_COPY,
  VFIO_MIGRATION_STOP_COPY,
  vfio_device_feature_mig_data_size,
  vfio_device_feature_mig_state,
  vfio_device_feature_migration,
  vfio_precopy_info,
} from '../abi/vfio/migration.js';
import type { Argument } from './argument.js';
import type { FeatureRequest } from './features.js';
import type { FdTable, OpenFile } from './open-file.js';
import type { KernelProfile } from './profile.js';

/** What a driver that can migrate its device implements. */
export interface Migration {
  /** VFIO_MIGRATION_… */
  readonly flags: number;
  /** VFIO_DEVICE_STATE_… Written by `changeState` after each step. */
  state: number;
  /** Bytes STOP_COPY would move now. */
  readonly dataSize: number;
  /** One arc of the state machine: the file that moves data now, nothing, or -errno. The caller owns the reference. */
  step(next: number): OpenFile | undefined | number;
}

/** What the features ask of a device: a `VfioDevice`. */
interface Target {
  readonly kernel: KernelProfile;
  readonly migration: Migration | undefined;
  precopyFlags: boolean;
}

const [ERROR, STOP, RUNNING, STOP_COPY] = [
  VFIO_DEVICE_STATE_ERROR,
  VFIO_DEVICE_STATE_STOP,
  VFIO_DEVICE_STATE_RUNNING,
  VFIO_DEVICE_STATE_STOP_COPY,
];
const [RESUMING, RUNNING_P2P, PRE_COPY, PRE_COPY_P2P] = [
  VFIO_DEVICE_STATE_RESUMING,
  VFIO_DEVICE_STATE_RUNNING_P2P,
  VFIO_DEVICE_STATE_PRE_COPY,
  VFIO_DEVICE_STATE_PRE_COPY_P2P,
];

/**
 * The step after which a device that has all states looks again: by the state it is in, the arcs it has, each with the
 * wanted states that lie behind it. What is listed nowhere cannot be reached.
 */
const arcs: Readonly<Record<number, Readonly<Record<number, readonly number[]>>>> = {
  [STOP]: {
    [RUNNING_P2P]: [RUNNING, RUNNING_P2P, PRE_COPY, PRE_COPY_P2P],
    [STOP_COPY]: [STOP_COPY],
    [RESUMING]: [RESUMING],
  },
  [RUNNING]: {
    [RUNNING_P2P]: [STOP, STOP_COPY, RESUMING, RUNNING_P2P, PRE_COPY_P2P],
    [PRE_COPY]: [PRE_COPY],
  },
  [PRE_COPY]: {
    [RUNNING]: [STOP, RUNNING, RESUMING, RUNNING_P2P],
    [PRE_COPY_P2P]: [PRE_COPY_P2P, STOP_COPY],
  },
  [PRE_COPY_P2P]: {
    [RUNNING_P2P]: [STOP, RUNNING, RESUMING, RUNNING_P2P],
    [PRE_COPY]: [PRE_COPY],
    [STOP_COPY]: [STOP_COPY],
  },
  [STOP_COPY]: { [STOP]: [STOP, RUNNING, RESUMING, RUNNING_P2P] },
  [RESUMING]: { [STOP]: [STOP, RUNNING, STOP_COPY, RUNNING_P2P, PRE_COPY, PRE_COPY_P2P] },
  [RUNNING_P2P]: {
    [STOP]: [STOP, STOP_COPY, RESUMING],
    [RUNNING]: [RUNNING, PRE_COPY],
    [PRE_COPY_P2P]: [PRE_COPY_P2P],
  },
  [ERROR]: {},
};

function has(state: number, flags: number): boolean {
  let needed = VFIO_MIGRATION_STOP_COPY;
  if (state === RUNNING_P2P || state === PRE_COPY_P2P) needed |= VFIO_MIGRATION_P2P;
  if (state === PRE_COPY || state === PRE_COPY_P2P) needed |= VFIO_MIGRATION_PRE_COPY;
  return (flags & needed) === needed;
}

function step(current: number, wanted: number): number {
  if (current === wanted) return current;
  const found = Object.entries(arcs[current] ?? {}).find(([, behind]) => behind.includes(wanted));
  return found === undefined ? ERROR : Number(found[0]);
}

/**
 * vfio_mig_get_next_state: the next step from `current` towards `wanted`, or -EINVAL. States the device does not have are
 * stepped over.
 */
export function nextState(current: number, wanted: number, flags: number): number {
  // What is no state has no arc, and ERROR none either.
  if (!has(current, flags) || !has(wanted, flags)) return -errno.EINVAL;
  let next = step(current, wanted);
  while (next !== ERROR && !has(next, flags)) next = step(next, wanted);
  return next === ERROR ? -errno.EINVAL : next;
}

/** Takes the device to the wanted state, step by step; where a step fails, it stays in the state it has reached. */
export function changeState(migration: Migration, wanted: number): OpenFile | undefined | number {
  let file: OpenFile | undefined;
  while (migration.state !== wanted) {
    const next = nextState(migration.state, wanted, migration.flags);
    if (next < 0) return next;
    const result = migration.step(next);
    if (typeof result === 'number') return result;
    file = result;
    migration.state = next;
  }
  return file;
}

/** The answer to a feature of migration, or undefined where the request is of another. */
export function migrationFeature(request: FeatureRequest, device: Target, fds: FdTable): number | undefined {
  const { migration, kernel } = device;
  switch (request.feature) {
    case VFIO_DEVICE_FEATURE_MIGRATION:
      return migration === undefined ? -errno.ENOTTY : getFlags(request, migration);
    case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
      return migration === undefined ? -errno.ENOTTY : deviceState(request, migration, fds);
    case VFIO_DEVICE_FEATURE_MIG_DATA_SIZE:
      return migration === undefined ? -errno.ENOTTY : getDataSize(request, migration);
    case VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2:
      return kernel.precopyInfoFlags ? setPrecopyFlags(request, device) : undefined;
    default:
      return undefined;
  }
}

function getFlags(request: FeatureRequest, migration: Migration): number {
  const payload = vfio_device_feature_migration.create();
  const checked = request.check(VFIO_DEVICE_FEATURE_GET, payload.bytes.byteLength);
  if (checked !== 1) return checked;
  payload.flags = BigInt(migration.flags);
  return request.answer(payload.bytes);
}

function deviceState(request: FeatureRequest, migration: Migration, fds: FdTable): number {
  const checked = request.check(VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_GET, vfio_device_feature_mig_state.size);
  if (checked !== 1) return checked;
  const payload = request.payload(vfio_device_feature_mig_state);
  if (payload === undefined) return -errno.EFAULT;
  payload.data_fd = -1;
  if (request.isGet) {
    payload.device_state = migration.state;
    return request.answer(payload.bytes);
  }
  const file = changeState(migration, payload.device_state);
  if (typeof file === 'number') {
    const answered = request.answer(payload.bytes);
    return answered === 0 ? file : answered;
  }
  if (file === undefined) return request.answer(payload.bytes);
  const fd = fds.install(file);
  if (fd < 0) return fd;
  payload.data_fd = fd;
  return request.answer(payload.bytes);
}

function getDataSize(request: FeatureRequest, migration: Migration): number {
  const payload = vfio_device_feature_mig_data_size.create();
  const checked = request.check(VFIO_DEVICE_FEATURE_GET, payload.bytes.byteLength);
  if (checked !== 1) return checked;
  payload.stop_copy_length = BigInt(migration.dataSize);
  return request.answer(payload.bytes);
}

/** The one feature that a device which cannot migrate refuses with EINVAL. */
function setPrecopyFlags(request: FeatureRequest, device: Target): number {
  if (((device.migration?.flags ?? 0) & VFIO_MIGRATION_PRE_COPY) === 0) return -errno.EINVAL;
  const checked = request.check(VFIO_DEVICE_FEATURE_SET, 0);
  if (checked !== 1) return checked;
  device.precopyFlags = true;
  return 0;
}

/**
 * vfio_check_precopy_ioctl: what a data fd is asked in the PRE_COPY states, or -errno. `flags` are cleared only for a user
 * who said that they mean something; before, what was in them goes back as it came.
 */
export function takePrecopyInfo(
  device: { readonly precopyFlags: boolean },
  request: number,
  argument: Argument,
): ReturnType<typeof vfio_precopy_info.create> | number {
  if (request !== VFIO_MIG_GET_PRECOPY_INFO.number) return -errno.ENOTTY;
  const info = argument.struct(vfio_precopy_info, VFIO_MIG_GET_PRECOPY_INFO.minimum);
  if (info === undefined) return -errno.EFAULT;
  if (info.argsz < VFIO_MIG_GET_PRECOPY_INFO.minimum) return -errno.EINVAL;
  if (device.precopyFlags) info.flags = 0;
  return info;
}
