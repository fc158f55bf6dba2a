/** The kernels and machines a conformance suite runs on. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { check } from '../../lib/kernel/error.js';
import { native } from '../../lib/kernel/native.js';
import type { Kernel } from '../../lib/kernel/kernel.js';
import { findDevices } from '../../lib/pci/topology.js';
import type { ContainerProvider, IommuKind, KernelVersion } from '../../lib/sim/index.js';
import { byIommufd } from './variant-name.js';

/** Where a device is. */
export interface Place {
  readonly address: string;
  readonly group: number;
}

/** A kernel with a machine of the shape that every suite expects. */
export interface Subject {
  readonly kernel: Kernel;
  readonly version: KernelVersion;
  readonly iommu: IommuKind;
  /** Who answers as /dev/vfio/vfio. */
  readonly container: ContainerProvider;
  /** An edu device, alone in its group, with vfio-pci. */
  readonly edu: Place;
  // And the parents of mediated devices, mtty, mdpy and mbochs, which every machine has.
  /** Another edu, in a group with a device that a host driver has. */
  readonly shared: Place;
  /** A PCI Express function behind a port of its own, as QEMU's e1000e is. */
  readonly express: Place;
  /** An NVMe controller with a disk of 64 MiB. */
  readonly nvme: Place;
  /** Two e1000e, with a cable between them. */
  readonly wired: readonly [Place, Place];
  /** A physical function that has no virtual ones now. */
  readonly lone: Place;
  /** A VGA display, which no driver drives. */
  readonly display: Place;
  /** A physical function and a virtual one of it, both with vfio-pci. */
  functions(): { readonly physical: Place; readonly virtual: Place };
  /** Resolves when a device that may sleep does. */
  asleep(address: string): Promise<void>;
  /** Makes the calls of the action as another user, without root's capabilities. */
  as(user: number, action: () => void): void;
  /** Takes a device from vfio-pci as another process would: resolves when whoever had it open let it go. */
  unbind(address: string): Promise<void>;
}

export interface Variant {
  /** What results are filed under: 'simulated 7.3 intel'. */
  readonly name: string;
  readonly real: boolean;
  /** Who answers as /dev/vfio/vfio. */
  readonly container: ContainerProvider;
  readonly version: KernelVersion;
  /** A machine nobody used; on a real kernel, the one there is. */
  readonly make: () => Subject;
}

/** Chooses what is expected: the first of VFIO's own container, the second where iommufd answers in its place. */
export function byContainer({ container }: Variant): <T>(vfio: T, iommufd: T) => T {
  return (vfio, iommufd) => (container === 'vfio' ? vfio : iommufd);
}

const cardId = { vendor: 0x8086, device: 0x10d3 };
const displayId = { vendor: 0x1234, device: 0x1111 };
const nvmeId = { vendor: 0x1b36, device: 0x0010 };

/** In the lab: the kernel the test runs on. The lab says which machine it is. */
function real(iommu: IommuKind, container: ContainerProvider): Variant {
  const release = readFileSync('/proc/sys/kernel/osrelease', 'utf8');
  const version = /^\d+\.\d+/.exec(release)?.[0] as KernelVersion;
  return {
    name: `Linux ${version} ${iommu}${byIommufd(container)}`,
    real: true,
    container,
    version,
    make: () => {
      const kernel = native();
      const found = findDevices(kernel, { vendor: 0x1234, device: 0x11e8 });
      const place = (behindBridge: boolean): Place => {
        const device = found.find(({ address }) => address.startsWith('0000:00:') !== behindBridge);
        if (device?.group === undefined)
          throw new Error(`The machine lacks an edu device ${behindBridge ? 'behind a bridge' : 'alone'}, in an IOMMU group`);
        return { address: device.address, group: device.group };
      };
      // Looked up when a suite asks: not every machine has both.
      return {
        kernel,
        version,
        iommu,
        container,
        get edu() {
          return place(false);
        },
        get shared() {
          return place(true);
        },
        get express() {
          const [device] = findDevices(kernel, cardId);
          if (device?.group === undefined) throw new Error('The machine lacks an e1000e, in an IOMMU group');
          return { address: device.address, group: device.group };
        },
        get wired() {
          const [, ...cards] = findDevices(kernel, cardId);
          const [left, right] = cards.flatMap(({ address, group }) => (group === undefined ? [] : [{ address, group }]));
          if (left === undefined || right === undefined) throw new Error('The machine lacks two e1000e behind another, in IOMMU groups');
          return [left, right] as const;
        },
        get nvme() {
          const device = findDevices(kernel, nvmeId).find(({ address }) => address.startsWith('0000:00:'));
          if (device?.group === undefined) throw new Error('The machine lacks an nvme with a disk, in an IOMMU group');
          return { address: device.address, group: device.group };
        },
        get lone() {
          return withVirtualFunctions(kernel, 0)[0]!;
        },
        get display() {
          const [device] = findDevices(kernel, displayId);
          if (device?.group === undefined) throw new Error('The machine lacks a VGA, in an IOMMU group');
          return { address: device.address, group: device.group };
        },
        functions() {
          // vfio-pci takes the virtual functions of a device that it has.
          const [physical, virtual] = withVirtualFunctions(kernel, 1);
          if (physical === undefined || virtual === undefined) throw new Error('The virtual function did not come up');
          // QEMU's virtual function does not come back from a reset: older kernels wait a minute for it at each open.
          const method = `/sys/bus/pci/devices/${virtual.address}/reset_method`;
          check(kernel.files.writeFile(method, new TextEncoder().encode('\n')), { syscall: 'write', path: method });
          return { physical, virtual };
        },
        as: asUser,
        asleep: untilAsleep,
        unbind: (address) => unbindElsewhere(address),
      };
    },
  };
}

/** The physical function, with so many virtual ones after it. A device that has some takes no other number but none. */
function withVirtualFunctions(kernel: Kernel, wanted: number): Place[] {
  const functions = (): Place[] =>
    findDevices(kernel, nvmeId).flatMap(({ address, group }) =>
      group === undefined || address.startsWith('0000:00:') ? [] : [{ address, group }],
    );
  const [physical, ...virtual] = functions();
  if (physical === undefined) throw new Error('The machine lacks an nvme with virtual functions, in an IOMMU group');
  if (virtual.length === wanted) return [physical, ...virtual];
  const path = `/sys/bus/pci/devices/${physical.address}/sriov_numvfs`;
  check(kernel.files.writeFile(path, new TextEncoder().encode(String(wanted))), { syscall: 'write', path });
  return functions();
}

/** The kernel puts a device to sleep by itself, some time after it was allowed to. Looking does not wake it. */
async function untilAsleep(address: string): Promise<void> {
  const status = `/sys/bus/pci/devices/${address}/power/runtime_status`;
  for (let waited = 0; waited < 10_000 && readFileSync(status, 'utf8').trim() !== 'suspended'; waited += 20) await delay(20);
}

/** Its groups of files too: a node's group is root's. */
function asUser(user: number, action: () => void): void {
  process.setegid?.(user);
  process.seteuid?.(user);
  try {
    action();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
  }
}

/** The writer of `unbind` waits in the kernel until the device is let go, so it cannot be this process. */
async function unbindElsewhere(address: string): Promise<void> {
  await promisify(execFile)('sh', ['-c', `echo ${address} > /sys/bus/pci/devices/${address}/driver/unbind`]);
}

const lab = process.env['VFIO_LAB_IOMMU'] as IommuKind | undefined;
const labContainer = (process.env['VFIO_LAB_CONTAINER'] ?? 'vfio') as ContainerProvider;
const versions = ['6.12', '7.3'] as const;
/** Without /dev/iommu. */
const older = ['6.1'] as const;
const isOlder = (version: string): boolean => older.some((each) => each === version);

/** There is /dev/iommu and, for each device, a node; and the sample mtty migrates. */
export const hasNodes = ({ version }: Pick<Variant, 'version'>): boolean => !isOlder(version);

/** In a guest it would take half a minute to load what simulates, for nothing. */
const { simulate, simulateNoIommu, simulateMocks } =
  lab === undefined ? await import('./simulated.js') : ({} as typeof import('./simulated.js'));

/** On the host: the simulated kernels. In the lab: the real one, if the machine is of the kind. */
function variantsOf(
  iommus: readonly IommuKind[],
  make: (version: KernelVersion, iommu: IommuKind) => Variant = simulate,
  container: ContainerProvider = 'vfio',
  of: readonly KernelVersion[] = versions,
): Variant[] {
  if (lab === undefined) return of.flatMap((version) => iommus.map((iommu) => make(version, iommu)));
  if (!iommus.includes(lab) || container !== labContainer) return [];
  const variant = real(lab, container);
  return isOlder(variant.version) === of.every(isOlder) ? [variant] : [];
}

/** In the lab, the process has a capability or has not, and runs the suites for it as it is. */
const has = (capability: number): boolean => lab === undefined || (effectiveCapabilities() & (1n << BigInt(capability))) !== 0n;
const CAP_IPC_LOCK = 14;
const CAP_SYS_RAWIO = 17;

export const variants: readonly Variant[] = has(CAP_IPC_LOCK) ? variantsOf(['intel', 'amd']) : [];

/** Kernels that have no /dev/iommu yet. */
export const olderVariants: readonly Variant[] = has(CAP_IPC_LOCK) ? variantsOf(['intel'], simulate, 'vfio', older) : [];

/** The same with another IOMMU, for what that has a part in. */
export const olderAmdVariants: readonly Variant[] = has(CAP_IPC_LOCK) ? variantsOf(['amd'], simulate, 'vfio', older) : [];

/** Kernels built without VFIO's own container: iommufd answers as /dev/vfio/vfio. */
export const compatibilityVariants: readonly Variant[] = has(CAP_IPC_LOCK)
  ? variantsOf(['intel'], (version, iommu) => simulate(version, iommu, { container: 'iommufd' }), 'iommufd')
  : [];

/** Machines with a function that has virtual ones. */
export const virtualFunctionVariants: readonly Variant[] = has(CAP_IPC_LOCK) ? variantsOf(['intel']) : [];

/**
 * What a device and vfio-pci answer whatever the IOMMU is, is asked of one machine: it has an nvme with a disk, and two network cards
 * on a cable. With QEMU's AMD IOMMU no DMA of cards behind ports arrives.
 */
export const deviceVariants: readonly Variant[] = has(CAP_IPC_LOCK) ? variantsOf(['intel']) : [];

/** Bytes that a process without CAP_IPC_LOCK may lock; in the lab the suite is started with that limit. */
export const lockedMemoryLimit = 256 * 1024;

/** A process without CAP_IPC_LOCK. */
export const limitedVariants: readonly Variant[] =
  lab === undefined || !has(CAP_IPC_LOCK) ? variantsOf(['intel'], (version, iommu) => simulate(version, iommu, { lockedMemoryLimit })) : [];

/** Machines whose IOMMU does not isolate interrupts. */
export const unsafeVariants: readonly Variant[] = variantsOf(['virtio']);

/** Machines without an IOMMU. */
export const noIommuVariants: readonly Variant[] = has(CAP_SYS_RAWIO)
  ? variantsOf(['none'], (version) => simulateNoIommu(version, true))
  : [];

export const olderNoIommuVariants: readonly Variant[] = has(CAP_SYS_RAWIO)
  ? variantsOf(['none'], (version) => simulateNoIommu(version, true), 'vfio', older)
  : [];

/**
 * Machines for the kernel's own mock devices (test/support/mock). Linux 6.12 gives those devices their IOMMU only where none
 * of the processor's is; 7.3 everywhere.
 */
export const mockVariants: readonly Variant[] = variantsOf(['none'], (version) => simulateMocks(version));

/** The same, in a process without CAP_SYS_RAWIO. */
export const noRawIoVariants: readonly Variant[] =
  lab === undefined || !has(CAP_SYS_RAWIO) ? variantsOf(['none'], (version) => simulateNoIommu(version, false)) : [];

function effectiveCapabilities(): bigint {
  const [, digits] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return BigInt(`0x${digits ?? '0'}`);
}
