/** /dev/iommu. The order of checks is that of the kernel's main.c. */
import { errno } from '../../abi/errno.js';
import {
  IOMMUFD_CMD_BASE,
  IOMMU_DESTROY,
  IOMMU_OPTION,
  IOMMU_OPTION_HUGE_PAGES,
  IOMMU_OPTION_OP_GET,
  IOMMU_OPTION_OP_SET,
  IOMMU_OPTION_RLIMIT_MODE,
  iommu_destroy,
  iommu_option,
} from '../../abi/iommufd/object.js';
import type { Mapping } from '../../kernel/kernel.js';
import type { Argument } from '../argument.js';
import { OpenFile, type FdTable } from '../open-file.js';
import type { Platform } from '../platform.js';
import type { KernelProfile } from '../profile.js';
import type { GroupKind, IommuGroup } from '../iommu-group.js';
import { Compatibility } from './compatibility.js';
import { chooseIoas, compatibilityIoctl } from './compatibility-ioctl.js';
import { Access } from './access.js';
import { BoundDevice, type Bound } from './device.js';
import { ExposedPages } from './exposed-pages.js';
import { Ioas } from './ioas.js';
import { allocateFaultQueue } from './fault-queue.js';
import { allocateHardwareQueue } from './hardware-queue.js';
import * as ioas from './ioas-requests.js';
import { rfc2022Ioctl, rfc2022Operations } from './rfc-2022.js';
import { hardwareInformation } from './hardware-requests.js';
import * as dirty from './dirty-requests.js';
import { machineIommu } from './machine-iommu.js';
import { noIommu, physicalAddress } from './no-iommu.js';
import { IommufdObject, ObjectTable } from './objects.js';
import * as pageTable from './page-table-requests.js';
import { operation, type Context, type Operation } from './operation.js';
import { allocateVirtualEventQueue } from './virtual-event-queue.js';
import { allocateVirtualDevice, allocateVirtualIommu } from './virtual-iommu.js';

const destroy = operation(IOMMU_DESTROY, iommu_destroy, ({ objects }, { id }) => objects.destroy(id));

const option = operation(IOMMU_OPTION, iommu_option, (context, asked, { argument }) => {
  const { option_id, op, object_id, val64 } = asked;
  if (asked.__reserved !== 0) return -errno.EOPNOTSUPP;
  const value = optionValue(context, { option: option_id, op, object: object_id, value: val64 });
  if (typeof value === 'number') return value;
  asked.val64 = value;
  const at = iommu_option.offsetofend('object_id');
  return argument.copyTo(asked.bytes.subarray(at), at) ? 0 : -errno.EFAULT;
});

interface OptionRequest {
  readonly option: number;
  readonly op: number;
  readonly object: number;
  readonly value: bigint;
}

/** The value read or set, or -errno. */
function optionValue(context: Context, { option, op, object, value }: OptionRequest): bigint | number {
  switch (option) {
    case IOMMU_OPTION_RLIMIT_MODE:
      return object === 0 ? accountOption(context, op, value) : -errno.EOPNOTSUPP;
    case IOMMU_OPTION_HUGE_PAGES:
      return ioas.largePagesOption(context.objects.find(object, Ioas), op, value);
    default:
      return -errno.EOPNOTSUPP;
  }
}

/** iommufd_option_rlimit_mode, of a process that has CAP_SYS_RESOURCE: it can change only while there is nothing yet. */
function accountOption(context: Context, op: number, value: bigint): bigint | number {
  switch (op) {
    case IOMMU_OPTION_OP_GET:
      return context.accountsToProcess ? 1n : 0n;
    case IOMMU_OPTION_OP_SET:
      if (context.objects.size > 0) return -errno.EBUSY;
      if (value > 1n) return -errno.EINVAL;
      context.accountsToProcess = value === 1n;
      return value;
    default:
      return -errno.EOPNOTSUPP;
  }
}

/** What there was from the first proposal on. */
const first = [destroy, ioas.allocate];
const always = [
  ...first,
  ...[option, chooseIoas, allocateFaultQueue],
  ...[ioas.allow, ioas.copy, ioas.ranges, ioas.map, ioas.unmap],
  ...[pageTable.allocate, pageTable.invalidate, hardwareInformation, dirty.setTracking, dirty.getBitmap],
];

function operations({ kernel }: Platform, added: readonly Operation[]): ReadonlyMap<number, Operation> {
  const known = kernel.iommufd.rfc2022 ? [...first, ...rfc2022Operations] : mainlineOperations(kernel, added);
  return new Map(known.map((each) => [each.request.number, each]));
}

function mainlineOperations(kernel: KernelProfile, added: readonly Operation[]): Operation[] {
  return [
    ...always,
    ...added,
    ...(kernel.iommufd.mapsFiles ? [ioas.mapFile] : []),
    ...(kernel.iommufd.changesProcess ? [ioas.changeProcess] : []),
    ...(kernel.iommufd.tellsPhysicalAddresses ? [physicalAddress] : []),
    ...(kernel.iommufd.virtualIommus ? [allocateVirtualIommu, allocateVirtualDevice, allocateVirtualEventQueue] : []),
    ...(kernel.iommufd.maps ? [allocateHardwareQueue] : []),
  ];
}

/** A device of the machine: a `VfioDevice`. */
interface BoundFunction {
  /** It is a virtual function of another. */
  readonly isVirtual: boolean;
}

export class IommufdFile extends OpenFile {
  readonly #context: Context;
  readonly #operations: ReadonlyMap<number, Operation>;
  readonly #lastCommand: number;

  /** `added`: requests that only a kernel built for tests has. `accountsToProcess`: whose locked memory counts at first. */
  constructor(
    platform: Platform,
    fds: FdTable,
    added: readonly Operation[],
    { accountsToProcess }: Pick<Context, 'accountsToProcess'> = { accountsToProcess: false },
  ) {
    super();
    const objects = new ObjectTable();
    this.#context = {
      ...{ platform, fds, file: this, objects, exposed: new ExposedPages() },
      ...{ attachments: new WeakMap(), compatibility: new Compatibility(platform, objects), accountsToProcess },
    };
    this.#operations = operations(platform, added);
    const requests = [platform.kernel.iommufd.lastRequest, ...added.map(({ request }) => request)];
    this.#lastCommand = Math.max(...requests.map(({ number }) => number & 0xff));
  }

  override ioctl(request: number, argument: Argument): number {
    const command = request & 0xff;
    if (command < IOMMUFD_CMD_BASE || command > this.#lastCommand) return this.#compatibilityIoctl(request, argument);
    // The length word is read before the request is known to be one.
    const word = argument.copyFrom(4);
    if (word === undefined) return -errno.EFAULT;
    const size = new DataView(word.buffer).getUint32(0, true);
    return this.#operations.get(request)?.run(this.#context, argument, size) ?? -errno.ENOTTY;
  }

  #compatibilityIoctl(request: number, argument: Argument): number {
    const { rfc2022 } = this.#context.platform.kernel.iommufd;
    return (rfc2022 ? rfc2022Ioctl : compatibilityIoctl)(this.#context, request, argument);
  }

  /** A device of the group becomes this file's, and one of its objects. */
  bind(group: IommuGroup, { isVirtual }: BoundFunction): Bound | number {
    // The drivers of mediated devices that there are pin nothing, and so let go of everything.
    if (group.kind === 'emulated') return Access.create(this.#context, { pinsPages: true, unmap: () => {} });
    const { platform } = this.#context;
    return BoundDevice.create(this.#context, group, group.kind === 'noiommu' ? noIommu : machineIommu(platform, isVirtual));
  }

  /** iommufd_ctx_has_group. */
  hasGroup(group: object): boolean {
    return [...this.#context.objects.all(IommufdObject)].some((object) => object instanceof BoundDevice && object.isOf(group));
  }

  /** VFIO_GROUP_SET_CONTAINER with this file: 0 or -errno. */
  join(kind: GroupKind): number {
    return this.#context.compatibility.join(kind);
  }

  /** Whether there is an address space for the devices of groups that joined. */
  get translatesForGroups(): boolean {
    return this.#context.compatibility.ioas !== undefined;
  }

  /** A device of a group that joined is opened: it is bound, and attached to the address space of VFIO's requests. */
  bindAndAttach(group: IommuGroup, bound: BoundFunction): Bound | number {
    const device = this.bind(group, bound);
    if (typeof device === 'number') return device;
    const { ioas } = this.#context.compatibility;
    const attached = ioas === undefined ? -errno.ENODEV : device.attach(ioas.id);
    if (typeof attached !== 'number') return device;
    device.unbind();
    return attached;
  }

  /** Only what a virtual IOMMU shows can be mapped. */
  override mmap(length: number, protection: number, flags: number, offset: number): Mapping | number {
    const { platform, exposed } = this.#context;
    return platform.kernel.iommufd.maps ? exposed.map(this, length, protection, flags, offset) : -errno.ENODEV;
  }

  protected override release(): void {
    this.#context.objects.releaseAll();
  }
}
