/** What the lab's kernels are built with: everything is built in, nothing is a module. */
import { createHash } from 'node:crypto';

/** Which file answers as /dev/vfio/vfio: VFIO's own container, or iommufd in its compatibility mode. */
export const variants = ['default', 'iommufd-container'] as const;
export type Variant = (typeof variants)[number];

const groups = {
  'a 64-bit machine with two processors and a serial console':
    '64BIT SMP PRINTK PRINTK_TIME TTY SERIAL_8250 SERIAL_8250_CONSOLE ACPI X86_X2APIC HIGH_RES_TIMERS',
  // Without BUG, which the smallest kernel leaves out, every WARN_ON and BUG_ON of the kernel is silent.
  'a kernel that says what goes wrong in it, and where': 'BUG DEBUG_BUGVERBOSE KALLSYMS DETECT_HUNG_TASK',
  'PCI, with everything VFIO asks of it':
    'PCI PCI_MSI PCIEPORTBUS PCI_IOV PCI_PASID PCI_PRI PCI_ATS PCI_P2PDMA ZONE_DEVICE MEMORY_HOTPLUG MEMORY_HOTREMOVE SPARSEMEM_VMEMMAP',
  IOMMUs: 'IOMMU_SUPPORT IRQ_REMAP INTEL_IOMMU INTEL_IOMMU_SVM INTEL_IOMMU_DEFAULT_ON AMD_IOMMU VIRTIO_IOMMU',
  "the IOMMUs' page tables, to be read in debugfs": 'DEBUG_FS IOMMU_DEBUGFS INTEL_IOMMU_DEBUGFS',
  'iommufd, with its mock devices': 'IOMMUFD IOMMUFD_DRIVER IOMMUFD_TEST RUNTIME_TESTING_MENU FAULT_INJECTION DEBUG_KERNEL',
  'VFIO, with its mediated samples':
    'VFIO VFIO_GROUP VFIO_DEVICE_CDEV VFIO_NOIOMMU VFIO_PCI VFIO_PCI_VGA VGA_ARB VFIO_DEBUGFS VFIO_MDEV SAMPLES SAMPLE_VFIO_MDEV_MTTY ' +
    'SAMPLE_VFIO_MDEV_MDPY SAMPLE_VFIO_MDEV_MBOCHS',
  // An overlay marks a folder that was made anew by an extended attribute; without them, removing a folder is EIO.
  "the host's files over 9p, made writable by an overlay":
    'VIRTIO_MENU VIRTIO VIRTIO_PCI VIRTIO_BLK BLOCK NET INET UNIX PACKET NET_9P NET_9P_VIRTIO NETWORK_FILESYSTEMS 9P_FS OVERLAY_FS TMPFS_XATTR',
  'what Node and its tools need':
    'BLK_DEV_INITRD RD_GZIP BINFMT_ELF BINFMT_SCRIPT PROC_FS SYSFS TMPFS DEVTMPFS DEVTMPFS_MOUNT HUGETLBFS SHMEM MEMFD_CREATE EVENTFD EPOLL INOTIFY_USER ' +
    'SIGNALFD TIMERFD FUTEX AIO IO_URING POSIX_TIMERS FILE_LOCKING ADVISE_SYSCALLS MEMBARRIER MULTIUSER SYSVIPC RSEQ UNIX98_PTYS CGROUPS ' +
    'COMPACTION MIGRATION TRANSPARENT_HUGEPAGE DEVMEM PM DMABUF_HEAPS UDMABUF',
  'memory of devices as files': 'VFIO_PCI_DMABUF',
  'drivers of an NVMe drive and of a network card, which begin only where they are asked for':
    'BLK_DEV_NVME NETDEVICES ETHERNET NET_VENDOR_INTEL E1000E',
};

/** What a kernel that has those options has by itself, and no guest needs: without it, one is built a good deal sooner. */
const needless =
  'IPV6 ETHTOOL_NETLINK INPUT_KEYBOARD INPUT_MOUSE SERIO HID_SUPPORT INTEL_MEI SERIAL_8250_PCI ' +
  'PERF_EVENTS_INTEL_UNCORE PERF_EVENTS_INTEL_RAPL PERF_EVENTS_INTEL_CSTATE MQ_IOSCHED_DEADLINE MQ_IOSCHED_KYBER ' +
  'RD_BZIP2 RD_LZMA RD_XZ RD_LZO RD_LZ4 RD_ZSTD XZ_DEC';

/** What kernels before a version do not have; what they do without an option, they do always. */
const newer: Readonly<Record<string, string>> = {
  '6.2': 'IOMMUFD IOMMUFD_TEST VFIO_CONTAINER',
  '6.6': 'VFIO_GROUP VFIO_DEVICE_CDEV',
  '6.7': 'IOMMUFD_DRIVER',
  '6.8': 'VFIO_DEBUGFS',
  '6.19': 'VFIO_PCI_DMABUF',
};

const container = ['VFIO_CONTAINER', 'VFIO_IOMMU_TYPE1'];

const special: Readonly<Record<Variant, { readonly on: readonly string[]; readonly off: readonly string[] }>> = {
  default: { on: container, off: [] },
  // Type 1 is a part of VFIO's own container; iommufd has a type 1 of its own.
  'iommufd-container': { on: ['IOMMUFD_VFIO_CONTAINER'], off: ['VFIO_CONTAINER'] },
};

/** The names, without CONFIG_, of what must be `y` in a kernel of that version. */
export function enabledOptions(version: string, variant: Variant): string[] {
  const missing = new Set(
    Object.entries(newer).flatMap(([since, options]) => (compareVersions(version, since) < 0 ? options.split(' ') : [])),
  );
  const all = [...Object.values(groups).flatMap((names) => names.split(' ')), ...special[variant].on];
  return all.filter((option) => !missing.has(option));
}

/** The variants that a version is built in: of kernels before iommufd one. */
export function variantsOf(version: string): readonly Variant[] {
  return compareVersions(version, '6.2') < 0 ? ['default'] : variants;
}

/** The fragment that scripts/kconfig/merge_config.sh takes. */
export function configFragment(version: string, variant: Variant): string {
  const on = enabledOptions(version, variant).map((name) => `CONFIG_${name}=y\n`);
  const off = [...needless.split(' '), ...special[variant].off].map((name) => `# CONFIG_${name} is not set\n`);
  return [...on, ...off].join('');
}

/** Tells kernels of the same version apart that were built with other options. */
export function optionsHash(version: string, variant: Variant): string {
  return createHash('sha256').update(configFragment(version, variant)).digest('hex').slice(0, 12);
}

/** Negative, 0 or positive, as `a` is older than, the same as or newer than `b`: '6.9' is older than '6.12'. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a.split('.').map(Number), b.split('.').map(Number)];
  for (let part = 0; part < Math.max(left.length, right.length); part += 1) {
    const difference = (left[part] ?? 0) - (right[part] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
