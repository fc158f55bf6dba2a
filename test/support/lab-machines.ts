/** The machines on which the suites run: a kernel, an IOMMU, devices, and what is tried there. */
import type { Suite } from './bundle.js';
import { wiredCards } from './wired-cards.js';

/** A suite in a guest. */
export interface SuiteRun {
  readonly suite: Suite;
  /** Said behind the machine's title. */
  readonly what?: string;
  /** For the shell, before the suite's command. */
  readonly prefix?: string;
}

export interface LabMachine {
  readonly kernel: string;
  readonly iommu: string;
  readonly variant: string;
  /** The third word of `--only`: the variant, or what the machine is for. */
  readonly part: string;
  readonly title: string;
  readonly devices: readonly string[];
  /** Of `vfio lab`. */
  readonly options: readonly string[];
  readonly examples: readonly string[];
  /** Huge pages are reserved on it. */
  readonly hugePages: boolean;
  /** Generated calls are made on it, and compared with the simulated kernel's answers. */
  readonly compares: boolean;
  /** An example is recorded on it, and replayed on the host. */
  readonly traces: boolean;
  readonly runs: readonly SuiteRun[];
}

/** Without /dev/iommu: fewer machines, and of the examples those that it is enough for. */
const withoutIommufd = '6.1';
const allKernels = [withoutIommufd, '6.12', 'newest'];

/**
 * The examples, and each way of opening the device, by itself its node; what the simulated kernel prints of the first of a
 * name is what all do.
 */
const translated = ['edu', 'migration', 'edu --by group', 'edu --by compatibility'];
/** Without an IOMMU edu has physical addresses: those of a page, or of huge pages with the group. */
const untranslated = ['edu --unsafe-no-iommu --dma-bits 48', 'edu --unsafe-no-iommu --dma-bits 48 --by group'];
export const examples = [...translated, ...untranslated];

/** One behind a bridge that shares its group with a device of a host driver. */
const behindBridge = ['pcie-pci-bridge,id=bridge', 'edu,bus=bridge,addr=1', 'virtio-rng-pci,bus=bridge,addr=2'];
/** An edu alone; one behind a bridge; an e1000e behind a port, of a speed at which the kernel does not wait for QEMU's link after a reset. */
const bridged = ['edu', ...behindBridge, 'pcie-root-port,id=express,slot=9,x-speed=5', 'e1000e,bus=express'];
/**
 * And, where those are tried, an nvme with a disk, one with virtual functions, two more e1000e with a cable between
 * them, and a display.
 */
const complete = [
  ...bridged,
  'nvme,serial=lab',
  ...['pcie-root-port,id=physical,slot=10', 'nvme-subsys,id=subsystem'],
  'nvme,serial=physical,subsys=subsystem,bus=physical,sriov_max_vfs=2,sriov_vq_flexible=4,sriov_vi_flexible=2,max_ioqpairs=6,msix_qsize=5',
  ...wiredCards,
  'VGA',
];
/**
 * What the drivers among the examples are for: a drive, and two cards with a cable between them. QEMU's AMD IOMMU takes what a
 * device behind a port does in memory for that of another, on bus 0: there, cards have no port.
 */
const driven = (iommu: string): string[] => [
  'nvme,serial=lab',
  ...(iommu === 'amd'
    ? wiredCards.filter((device) => device.startsWith('e1000e')).map((card) => card.replace(/bus=\w+,/, ''))
    : wiredCards),
];
/** Without an IOMMU a device is given physical addresses, which its usual 28 bits do not reach. */
const farReaching = Array<string>(2).fill('edu,dma_mask=0xffffffffffff');
/** Newer kernels give no device of a virtio-iommu a group when one behind a bridge cannot have one. */
const devicesOf = (iommu: string): readonly string[] => ({ virtio: ['edu'], none: farReaching, intel: complete })[iommu] ?? bridged;
/** Those that run on a machine: on virtio-iommu a device does not open, with EPERM, which is what is tested there. */
const examplesOn = (kernel: string, iommu: string): readonly string[] => {
  const all: readonly string[] = { virtio: [], none: untranslated }[iommu] ?? translated;
  return kernel === withoutIommufd ? all.filter((example) => !/migration|compatibility/.test(example)) : all;
};

/** What takes the capability from a suite that a kernel asks for: by IOMMU, where there is a suite for it. */
const unprivileged: Readonly<Record<string, SuiteRun>> = {
  none: {
    suite: 'no-iommu',
    what: ', without CAP_SYS_RAWIO',
    prefix: 'setpriv --bounding-set=-sys_rawio --inh-caps=-sys_rawio ',
  },
  intel: {
    suite: 'limited',
    what: ', without CAP_IPC_LOCK',
    prefix: 'ulimit -l 256; setpriv --bounding-set=-ipc_lock --inh-caps=-ipc_lock ',
  },
};

/** With virtual functions, which are devices too. */
const lspci: SuiteRun = {
  suite: 'lspci',
  what: ', beside lspci',
  prefix: 'for each in /sys/bus/pci/devices/*/sriov_numvfs; do [ ! -e $each ] || echo 2 > $each; done; ',
};
const registers: SuiteRun = { suite: 'registers', what: ', registers by the command' };
const doctor: SuiteRun = { suite: 'doctor', what: ', doctor' };
/** Where what `vfio doctor` is to find is on the ordinary machine. */
const hasFaults = (kernel: string, iommu: string): boolean =>
  (kernel === withoutIommufd && iommu === 'intel') || (kernel === '6.12' && iommu === 'virtio');

/** Each suite loads no more than it needs: in a guest that takes a minute. */
function runsOn(kernel: string, iommu: string): SuiteRun[] {
  const own: Suite = ({ virtio: 'unsafe-interrupts', none: 'no-iommu' } as const)[iommu as 'virtio' | 'none'] ?? 'conformance';
  const lesser = kernel === withoutIommufd ? undefined : unprivileged[iommu];
  return [
    // First, as what other suites did is in the kernel's log.
    ...(hasFaults(kernel, iommu) ? [doctor] : []),
    { suite: own },
    ...(lesser === undefined ? [] : [lesser]),
    ...(kernel === '6.12' && ['intel', 'amd'].includes(iommu) ? [lspci] : []),
    ...(kernel === 'newest' && iommu === 'intel' ? [registers] : []),
  ];
}

function ordinary(kernel: string, iommu: string): LabMachine {
  return {
    ...{ kernel, iommu, variant: 'default', part: 'default', title: `Linux ${kernel}, ${iommu}` },
    devices: devicesOf(iommu),
    options: [],
    hugePages: true,
    examples: examplesOn(kernel, iommu),
    compares: kernel !== withoutIommufd,
    traces: kernel === '6.12' && iommu === 'intel',
    runs: runsOn(kernel, iommu),
  };
}

const nothingElse = { options: [], hugePages: true, examples: [], compares: false, traces: false } as const;

/** A kernel that was built without VFIO's own container: what reaches devices through one runs on iommufd's. */
function byIommufd(kernel: string): LabMachine {
  const variant = 'iommufd-container';
  return {
    ...{ ...nothingElse, kernel, iommu: 'intel', variant, part: variant, title: `Linux ${kernel}, intel, container by iommufd` },
    devices: complete,
    examples: examplesOn(kernel, 'intel'),
    runs: [{ suite: 'conformance' }],
  };
}

/** A kernel with its own drivers for a drive and for network cards: what is written, sent and bound is met by those. */
function withHostDrivers(kernel: string, iommu: string): LabMachine {
  const binds = iommu === 'intel';
  return {
    ...{ ...nothingElse, kernel, iommu, variant: 'default', part: 'host-drivers', title: `Linux ${kernel}, ${iommu}, drivers of its own` },
    devices: [...driven(iommu), ...(binds ? behindBridge : [])],
    options: ['--host-drivers'],
    runs: [{ suite: 'hardware' }, ...(binds ? [{ suite: 'bind', what: ', binding by the command' } as const] : [])],
  };
}

/** Where faults are planted for `vfio doctor`: each machine with what only it can have. */
function forDoctor(): LabMachine[] {
  const kernel = '6.12';
  const machine = (iommu: string, what: string, devices: readonly string[], options: readonly string[] = []): LabMachine => ({
    ...{ ...nothingElse, kernel, iommu, variant: 'default', part: 'doctor', title: `Linux ${kernel}, ${iommu}, ${what}` },
    devices,
    options,
    hugePages: false,
    runs: [{ suite: 'doctor' }],
  });
  const off = ['intel_iommu=off', 'pcie_acs_override=downstream'].flatMap((argument) => ['--kernel-argument', argument]);
  return [
    machine('intel', 'doctor', ['edu', ...behindBridge]),
    machine('intel', 'doctor, IOMMU off', ['edu', 'nvme,serial=lab'], ['--no-bind', ...off]),
    machine('none', 'doctor', ['edu,dma_mask=0xffffffffffff'], ['--no-bind']),
  ];
}

/** Two devices, of which a process that is not root is given one. */
function forOtherUsers(kernel: string): LabMachine {
  return {
    ...{ ...nothingElse, kernel, iommu: 'intel', variant: 'default', part: 'security', title: `Linux ${kernel}, intel, not as root` },
    devices: ['edu', 'edu'],
    hugePages: false,
    runs: [{ suite: 'security' }],
  };
}

/** The kernels and machines that the words choose: a kernel, an IOMMU, a variant or what a machine is for. */
export function machinesOf(only: string): { readonly kernels: readonly string[]; readonly machines: readonly LabMachine[] } {
  const [onlyKernel = '', onlyIommu = '', onlyPart = ''] = only.split(' ');
  const kernels = allKernels.filter((kernel) => (onlyKernel || kernel) === kernel);
  const newer = kernels.filter((kernel) => kernel !== withoutIommufd);
  const older = kernels.filter((kernel) => kernel === withoutIommufd);
  // The longest first, so that none is left to run alone at the end.
  const all = [
    ...['intel', 'amd'].flatMap((iommu) => newer.map((kernel) => ordinary(kernel, iommu))),
    ...newer.map((kernel) => ordinary(kernel, 'none')),
    ...newer.flatMap((kernel) => ['intel', 'amd'].map((iommu) => withHostDrivers(kernel, iommu))),
    ...newer.map(byIommufd),
    ...['intel', 'amd', 'none'].flatMap((iommu) => older.map((kernel) => ordinary(kernel, iommu))),
    ...newer.map(forOtherUsers),
    ...newer.map((kernel) => ordinary(kernel, 'virtio')),
    ...forDoctor().filter(({ kernel }) => kernels.includes(kernel)),
  ];
  return {
    kernels,
    machines: all.filter(({ iommu, part }) => (onlyIommu || iommu) === iommu && (onlyPart || part) === part),
  };
}
