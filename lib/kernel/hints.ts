import { matter, type MatterId } from './matters.js';

const noCompatibilityIoas = 'The open /dev/iommu has no address space for this: put a group in it, or set one with setCompatibilityIoas().';

/** A sentence about the call; or what is known of the machine, where that may be the reason. */
type Part = string | { readonly matter: MatterId; readonly said: boolean };
type Row = Part | readonly Part[];

/** What the machine may have, in the words that are known of it. */
function of(matter: MatterId): Part {
  return { matter, said: true };
}

/** The same for several, where the row's own words say it already. */
function looks(...matters: readonly MatterId[]): Part[] {
  return matters.map((matter) => ({ matter, said: false }));
}

/**
 * What to do about an error: by ioctl (or system call) and error name, one sentence. A table and nothing else, so that
 * an expected error stays cheap. What the rows know comes from the kernel's handlers and from what users met.
 */
export const hints: Readonly<Record<string, Readonly<Record<string, Row>>>> = {
  // Only of a device, by its address.
  access: { ENOENT: 'There is no PCI device of that address: npx vfio list shows those that there are.' },
  open: {
    ENOENT: [of('not-bound'), of('missing-node'), of('iommufd'), ...looks('vfio-module', 'cdev')],
    EACCES: [of('node-access'), ...looks('container-node')],
    EPERM: [of('raw-io'), of('container-cgroup')],
    EBUSY: of('holder'),
    ENODEV: ['The last device of the group was unbound; bind one to vfio-pci again.', ...looks('not-bound', 'stale-node')],
    ENXIO: of('stale-node'),
  },
  VFIO_SET_IOMMU: {
    EINVAL: ['A container takes an IOMMU type once, and only after VFIO_GROUP_SET_CONTAINER put a group in it.', ...looks('rmrr')],
    EPERM: [of('intr-remap'), of('unsafe-interrupts'), 'Or is it VFIO_NOIOMMU_IOMMU, which takes CAP_SYS_RAWIO?', ...looks('raw-io')],
    ENODEV: [
      of('type1-module'),
      'On /dev/iommu, put a group in it first. ' +
        'Groups without an IOMMU take VFIO_NOIOMMU_IOMMU alone, and only while enable_unsafe_noiommu_mode is on.',
      ...looks('noiommu'),
    ],
  },
  VFIO_GROUP_SET_CONTAINER: {
    EINVAL:
      'The group is in a container already; UNSET_CONTAINER first. ' +
      'Or does a /dev/iommu have groups with an IOMMU, and this one has none, or the other way round?',
    EPERM: [
      of('group-viable'),
      'Or is it a group without an IOMMU, which takes CAP_SYS_RAWIO and a container of its own?',
      ...looks('raw-io'),
    ],
    EBADF: 'The container is closed.',
    EBADFD: 'The file is not a container.',
  },
  VFIO_GROUP_UNSET_CONTAINER: {
    EBUSY: 'A device of the group is open; close it first.',
    EINVAL: 'The group is in no container.',
  },
  VFIO_GROUP_GET_DEVICE_FD: {
    EINVAL: 'Put the group in a container and choose an IOMMU type first. Or was a vfToken given for a device that has none?',
    EACCES: of('vf-token'),
    ENODEV: ['The group has no VFIO device of this name; is it bound to vfio-pci?', ...looks('not-bound')],
    EPERM: [
      'The device has no IOMMU: opening it takes CAP_SYS_RAWIO. ' +
        "Or, on /dev/iommu: another has the device's group, a host driver has a device of it, or its interrupts cannot be isolated?",
      ...looks('raw-io', 'holder', 'group-viable', 'intr-remap'),
    ],
    EADDRINUSE: 'On /dev/iommu, something is mapped where the device can have nothing, or off the page: unmap it first.',
    EFAULT: 'On /dev/iommu, a mapping reaches memory that is not there: nobody looks until a device is opened.',
    ENOMEM: ['On /dev/iommu, what is mapped is more memory than the process may lock: raise RLIMIT_MEMLOCK.', ...looks('memlock')],
  },
  VFIO_IOMMU_GET_INFO: {
    ENODEV: noCompatibilityIoas,
    ENOTTY: 'The container has no IOMMU that could be asked: its devices reach memory by physical address.',
  },
  VFIO_IOMMU_MAP_DMA: {
    ENODEV: noCompatibilityIoas,
    ENOTTY: 'The container has no IOMMU that could map: its devices reach memory by physical address.',
    EEXIST: 'The range overlaps a mapping that exists; unmap it first.',
    EINVAL: [
      'Address, IOVA and size must be multiples of the smallest page size, and the IOVA inside one of the ranges of info(). ' +
        'On a POWER machine, is the memory registered?',
      ...looks('iommu-width'),
    ],
    ENOMEM: of('memlock'),
    ENOSPC: of('dma-entry-limit'),
    EFAULT: 'The memory is not mapped in this process, or not writable where the device may write.',
    EPERM: 'On a POWER machine, the container must be enabled (version 1) or have registered memory (version 2) first.',
    ENXIO: 'On a POWER machine, the IOVA must lie in a window: in the one of info(), or in one that was created.',
  },
  VFIO_IOMMU_UNMAP_DMA: {
    ENOTTY: 'The container has no IOMMU, and so no mappings.',
    EINVAL:
      'A range may cover whole mappings only, in multiples of the page size. Or is it iommufd in place of a container, which forgets no addresses?',
    ENODEV: noCompatibilityIoas,
    ENOENT: 'The range cuts through a mapping: only whole ones can be unmapped, and those before it are.',
    EBUSY: 'A mediated device is in the container, and cannot wait for new addresses.',
    EPERM: 'On a POWER machine, the container must be enabled (version 1) or have registered memory (version 2) first.',
    ENXIO: 'On a POWER machine, the IOVA must lie in a window: in the one of info(), or in one that was created.',
  },
  VFIO_IOMMU_DIRTY_PAGES: {
    EACCES: 'Version 1 of type1 does not track; choose VFIO_TYPE1v2_IOMMU in setIommu().',
    EINVAL: 'A range may cover whole mappings only, and only while dirty pages are tracked.',
    ENOTTY: 'This IOMMU driver, or iommufd in its place, does not track dirty pages here.',
  },
  VFIO_IOMMU_ENABLE: {
    EBUSY: 'The container is enabled already.',
    ENOMEM: [
      'RLIMIT_MEMLOCK is less than the size of the DMA window: raise it (ulimit -l), or give the process CAP_IPC_LOCK.',
      ...looks('memlock'),
    ],
    ENOTTY: 'Only version 1 is enabled; version 2 is ready once memory is registered.',
  },
  VFIO_IOMMU_DISABLE: {
    ENOTTY: 'Only version 1 is enabled and disabled.',
  },
  VFIO_IOMMU_SPAPR_REGISTER_MEMORY: {
    EINVAL: 'Address and size must be multiples of the host page (64 KiB on most POWER kernels), and no part registered as another range.',
    EBUSY: 'The container has registered this range already.',
    ENOMEM: of('memlock'),
    EFAULT: 'The memory is not mapped in this process, or not writable.',
    ENOTTY: 'Only version 2 registers memory.',
  },
  VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY: {
    ENOENT: 'The container has not registered this very range.',
    EPERM: 'The container has registered no memory.',
    ENOTTY: 'Only version 2 registers memory.',
  },
  VFIO_IOMMU_SPAPR_TCE_CREATE: {
    EINVAL: 'The page size must be one of info(), the size a power of two, and the levels no more than info() says.',
    ENOSPC: 'The platform has no window left: remove one first.',
    ENOMEM: 'RLIMIT_MEMLOCK does not leave room for the table of the window, or the kernel has none: use more levels?',
    ENOTTY: 'Only version 2 creates windows.',
  },
  VFIO_IOMMU_SPAPR_TCE_REMOVE: {
    EINVAL: 'No window contains this address.',
    ENOTTY: 'Only version 2 removes windows.',
  },
  VFIO_EEH_PE_OP: {
    EIO: 'A reset is asserted, which must be deactivated first, or the firmware refused the error to inject.',
    ENODEV: 'The group has no device that the platform can isolate.',
    ENXIO: 'The firmware cannot inject errors.',
    ERANGE: 'The platform cannot inject this kind of error.',
  },
  VFIO_IOMMU_PASID_REQUEST: {
    ENOTTY: 'No mainline kernel has this proposal of 2020; with iommufd, choose a PASID and attach a page table with it.',
    EOPNOTSUPP: 'Choose VFIO_TYPE1_NESTING_IOMMU in setIommu().',
    ENOSPC: 'Every PASID of the range is taken.',
    EBUSY: 'A page table is bound to the PASID; unbind it first.',
  },
  VFIO_IOMMU_BIND: {
    ENOTTY: 'No mainline kernel has this proposal of 2020; with iommufd, IOMMU_HWPT_ALLOC takes a guest page table.',
    EOPNOTSUPP: 'Choose VFIO_TYPE1_NESTING_IOMMU in setIommu().',
    EINVAL: 'Is the PASID one that this container allocated?',
    EBUSY: 'A page table is bound to the PASID; unbind it first.',
  },
  VFIO_IOMMU_CACHE_INVALIDATE: {
    ENOTTY: 'No mainline kernel has this proposal of 2020; with iommufd, IOMMU_HWPT_INVALIDATE does it.',
    EOPNOTSUPP: 'Choose VFIO_TYPE1_NESTING_IOMMU in setIommu().',
    EINVAL: 'Is a page table bound to the PASID?',
  },
  IOMMU_DESTROY: {
    EBUSY: 'Another object needs it, or a device is attached to it: close or detach that first.',
    ENOENT: 'It is destroyed already, or the id is of another open /dev/iommu.',
  },
  IOMMU_GET_HW_INFO: {
    EOPNOTSUPP: "The IOMMU's driver has no description of this type; or the kernel describes in one way only, before Linux 6.17.",
    ENOTTY: 'Asking for what an IOMMU can do needs Linux 6.6.',
    ENOENT: 'The device is not bound to this open /dev/iommu any more.',
  },
  IOMMU_HWPT_ALLOC: {
    EOPNOTSUPP:
      'The IOMMU cannot do it, or not with these options: hardwareInformation() says what it can. ' +
      'PASIDs, and fault queues for page tables that are not nested, need Linux 6.14.',
    EINVAL: 'Nesting takes a page table that was made with nestParent, for the same IOMMU, and data as long as its type has it.',
    E2BIG: 'The kernel does not know all of this: data for nesting needs Linux 6.7, a fault queue 6.11.',
    EADDRINUSE: 'Something is mapped that the IOMMU does not reach, or off its page: unmap it first.',
    EFAULT: 'A mapping reaches memory that is not there. Until there is a page table nobody looks.',
    ENOTTY: 'Making page tables needs Linux 6.6.',
    ENOENT: 'The device or the fault queue is not of this open /dev/iommu any more.',
  },
  IOMMU_HWPT_SET_DIRTY_TRACKING: {
    EOPNOTSUPP: 'The page table was not made with dirtyTracking.',
    ENOTTY: 'Tracking dirty pages needs Linux 6.7.',
  },
  IOMMU_HWPT_GET_DIRTY_BITMAP: {
    EINVAL: "The range must be of whole pages, and of the address space's alignment().",
    EOVERFLOW: 'The range goes past the end of the address space.',
  },
  IOMMU_HWPT_INVALIDATE: {
    EINVAL: 'The IOMMU takes no entries of this type, length or range.',
    EOPNOTSUPP: 'An entry has a flag that the IOMMU does not know.',
    ENOTTY: 'Invalidating what is nested needs Linux 6.8.',
  },
  IOMMU_VIOMMU_ALLOC: {
    ENOTTY: 'Virtual IOMMUs need Linux 6.13.',
    EOPNOTSUPP: "The device's IOMMU has no virtual ones of this type, or the kernel's driver for it is built without.",
    EINVAL: 'They are made on a page table with nestParent, of the same IOMMU, and with the data that goes with the type.',
    E2BIG: 'Data for virtual IOMMUs needs Linux 6.17.',
    ENOENT: 'The device or the page table is not of this open /dev/iommu any more.',
  },
  IOMMU_VDEVICE_ALLOC: {
    ENOTTY: 'Virtual IOMMUs need Linux 6.13.',
    EEXIST: 'The device is on a virtual IOMMU already, or another device there has this name.',
    EINVAL: 'The device is behind another IOMMU.',
    ENOENT: 'The device is not of this open /dev/iommu any more.',
  },
  IOMMU_VEVENTQ_ALLOC: {
    ENOTTY: 'Event queues of virtual IOMMUs need Linux 6.15.',
    EEXIST: 'The virtual IOMMU has a queue for this type of event already.',
    EINVAL: 'The depth is from 1 to 524288.',
    EOPNOTSUPP: 'The type is one of IOMMU_VEVENTQ_TYPE_, but not the default.',
  },
  IOMMU_HW_QUEUE_ALLOC: {
    ENOTTY: 'Hardware queues need Linux 6.17.',
    EOPNOTSUPP: 'The virtual IOMMU has no queues of this type.',
    ENOENT: 'The page table that the virtual IOMMU is on does not have the memory mapped, all of it.',
    EFAULT: 'The memory is not contiguous: use a huge page.',
    EPERM: 'Devices may not read the memory.',
    EEXIST: 'There is a queue with this index already.',
    EADDRINUSE: 'Something is mapped there off the page boundary: unmap it first.',
  },
  IOMMU_VFIO_IOAS: {
    ENODEV: 'None was chosen, and no group was put into the file.',
    ENOENT: 'There is no address space with this id.',
  },
  IOMMU_OPTION: {
    EBUSY: 'Choose whose locked memory counts before the first address space is created.',
    EPERM: 'To choose whose locked memory counts takes CAP_SYS_RESOURCE.',
    EADDRINUSE: 'A mapping is not aligned to pages, and only large ones can go without; unmap it first.',
    EOPNOTSUPP: 'The kernel does not know this option.',
    ENOENT: 'There is no address space with this id.',
    EINVAL: 'Options are 0 or 1, and large pages cannot be turned off while a device has mappings.',
  },
  IOMMU_FAULT_QUEUE_ALLOC: {
    ENOTTY: 'Page requests need Linux 6.11.',
  },
  IOMMU_IOAS_ALLOW_IOVAS: {
    EINVAL: 'Ranges may not overlap, and each has at least two addresses.',
    EADDRINUSE: 'A device that is attached cannot have one of these ranges: ranges() says what is left.',
  },
  IOMMU_IOAS_MAP: {
    EEXIST: 'The range overlaps one that is mapped already.',
    EINVAL: 'Address, IOVA and size must be multiples of alignment(), in one of ranges(), and a device must read or write.',
    ENOSPC: 'No IOVA is free for this size in the ranges that are there and allowed.',
    EOVERFLOW: 'The range goes past the end of the address space.',
    ENOMEM: of('memlock'),
    EFAULT: 'The memory is not mapped in this process, or not writable where the device may write.',
  },
  IOMMU_IOAS_MAP_FILE: {
    ENOTTY: 'Mapping files needs Linux 6.13.',
    EBADF: 'The fd is closed.',
    EEXIST: 'The range overlaps one that is mapped already.',
    EINVAL:
      'The file must be a memfd, and whole pages of it inside its end; start, IOVA and size multiples of alignment(), in one of ranges(). ' +
      'Of a dma-buf, the range must lie inside it.',
    ENODEV: "The device's memory is turned off: enable memory decode in its command register, and end its low power state.",
    EOPNOTSUPP: 'Of dma-bufs, only one over a single range of a BAR of vfio-pci can be mapped.',
    ENOSPC: 'No IOVA is free for this size in the ranges that are there and allowed.',
    EOVERFLOW: 'The range goes past the end of the address space.',
    ENOMEM: of('memlock'),
  },
  IOMMU_IOAS_CHANGE_PROCESS: {
    ENOTTY: 'Changing the process needs Linux 6.13.',
    EINVAL: 'Memory of a process is mapped: only that of files (mapFile) can change hands.',
    ENOMEM: ['What is mapped is more memory than this process may lock: raise RLIMIT_MEMLOCK.', ...looks('memlock')],
  },
  IOMMU_IOAS_COPY: {
    ENOENT: 'Not all of the range is mapped in the address space to copy from.',
    EPERM: 'There, devices may only read it: copy it with write: false.',
    EEXIST: 'The range overlaps one that is mapped already.',
    EINVAL: 'Sizes and IOVAs must be multiples of alignment(), in one of ranges(), and a device must read or write.',
    ENOSPC: 'No IOVA is free for this size in the ranges that are there and allowed.',
    EOVERFLOW: 'The range goes past the end of the address space.',
  },
  IOMMU_IOAS_UNMAP: {
    ENOENT: 'Nothing is mapped there, or the range cuts through a mapping: only whole ones can be unmapped.',
    EBUSY: 'A kernel driver holds the pages of a mapping.',
    EINVAL: 'The size is 0.',
    EOVERFLOW: 'The range goes past the end of the address space.',
  },
  IOMMU_IOAS_NOIOMMU_GET_PA: {
    ENOTTY: 'Nobody but /proc/self/pagemap tells physical addresses here: this request needs Linux 7.3.',
    EPERM: 'To learn physical addresses takes CAP_SYS_RAWIO.',
    EOPNOTSUPP: 'Only while a device without an IOMMU is attached; with an IOMMU, IOVAs are what devices use.',
    ENOENT: 'Nothing is mapped there.',
    EINVAL: 'The size is 0, or the memory is gone with the device it was of.',
  },
  VFIO_DEVICE_BIND_IOMMUFD: {
    EBUSY: ['Its group is open: a device is used through its group or by its own node, not both at once.', ...looks('holder')],
    EINVAL: ['It is bound already, by this process or another: one file at a time has it by its node.', ...looks('holder')],
    EPERM: [
      "Another has the device's group, or a host driver has a device of it; or the platform does not isolate interrupts: " +
        'turn on interrupt remapping in the firmware.',
      ...looks('holder', 'group-viable', 'intr-remap'),
    ],
    EACCES: of('vf-token'),
    EBADFD: 'The fd to bind it to is not that of /dev/iommu.',
  },
  VFIO_DEVICE_ATTACH_IOMMUFD_PT: {
    EADDRINUSE: 'Something is mapped or allowed where the device can have nothing, or off the page: unmap it, or attach the device first.',
    EFAULT: 'A mapping reaches memory that is not there. Until a device is attached nobody looks.',
    EINVAL:
      'Another device of the same group is attached to another address space: devices of a group share one. Or PASIDs are attached, and this page table was not made for that?',
    ENODEV: 'The page table has a queue for page requests, and the device, or its IOMMU, makes none.',
    ENOENT: 'There is no such address space any more.',
    ENOMEM: ['What is mapped is more memory than the process may lock: raise RLIMIT_MEMLOCK.', ...looks('memlock')],
  },
  /** To attach or detach with one, for which old kernels and wrong ones have the same answer. */
  'a PASID': {
    EINVAL:
      'Both its page table and the one attached without a PASID have to be made for PASIDs (IOMMU_HWPT_ALLOC_PASID), and the device may have fewer PASIDs.',
    ENOTTY: 'PASIDs need Linux 6.15.',
  },
  VFIO_DEVICE_SET_IRQS: {
    EINVAL: 'Only one of INTx, MSI and MSI-X can be enabled at a time, and vectors must lie within the count of the index.',
    ENOTTY: 'The interrupt does not know this action; only INTx can be masked.',
    EBADF: 'The eventfd is closed.',
    EBUSY: of('intx'),
  },
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: {
    ENODEV: 'The bus cannot be reset: the device is on a root bus?',
  },
  VFIO_DEVICE_PCI_HOT_RESET: {
    EINVAL:
      'Every device on the bus must be with vfio-pci and this process: pass the groups of all in hotResetInfo(). ' +
      'A device opened by its own node takes none: its /dev/iommu must own them all.',
    ENODEV: 'The bus cannot be reset: the device is on a root bus?',
    EBUSY: 'Another operation has one of the devices; try again.',
    ENOTTY: 'The bus was reset, but a device on it did not come back in time?',
  },
  VFIO_DEVICE_IOEVENTFD: {
    EEXIST: 'This register is written with this value for another eventfd already.',
    ENODEV: 'There is no such ioeventfd to take away.',
    ENOSPC: 'A device has at most 1000 ioeventfds.',
    EINVAL: 'The register must lie in a BAR, outside the MSI-X table.',
  },
  VFIO_DEVICE_FEATURE: {
    ENOTTY: 'The device, its driver or this kernel does not have the feature; device.features.has() asks without an error.',
    EINVAL: 'The feature does not do this now, or not with these values; for the migration state, no way leads there from where it is.',
    EOPNOTSUPP: "The device's driver does not support the feature.",
  },
  VFIO_DEVICE_QUERY_GFX_PLANE: {
    EINVAL: 'The device does not give its picture in this way; ask graphics.gives().',
    ENOTTY: 'The device has no picture.',
  },
  VFIO_MIG_GET_PRECOPY_INFO: {
    EINVAL: "Only in the states 'pre-copy' and 'pre-copy-p2p'.",
    ENODEV: 'The device left the state this file was for.',
  },
  VFIO_DEVICE_RESET: {
    EINVAL: of('reset-method'),
    EAGAIN: 'The device is locked by another operation; try again.',
  },
  pread: {
    EIO: [of('memory-decode'), ...looks('power-state', 'device-gone')],
  },
  pwrite: {
    EIO: [of('memory-decode'), ...looks('power-state', 'device-gone')],
  },
  mmap: {
    EINVAL: 'Only regions with the mmap flag can be mapped, in whole pages and within their size.',
  },
};

/** What to do about an error, and what of the machine to look at. */
export interface Hint {
  readonly text: string | undefined;
  readonly checks: readonly MatterId[];
}

export function hint(call: string, code: string): Hint {
  const row = hints[call]?.[code];
  if (row === undefined) return { text: undefined, checks: [] };
  const parts = Array.isArray(row) ? (row as readonly Part[]) : [row as Part];
  const text = parts.map((part) => (typeof part === 'string' ? part : part.said ? matter(part.matter).hint : undefined));
  return {
    text: text.filter((sentence) => sentence !== undefined).join(' '),
    checks: parts.flatMap((part) => (typeof part === 'string' ? [] : [part.matter])),
  };
}
