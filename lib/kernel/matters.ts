/** What is wrong with a machine, why that matters, and what to do about it. */
interface Matter {
  /** What is wrong, as `vfio doctor` says it. The facts of the machine stand beside it. */
  readonly finding: string;
  readonly why: string;
  /** What the error of a call says where this may be the reason. */
  readonly hint?: string;
}

/**
 * All that this package knows of machines, by the names that errors, `vfio doctor` and docs/troubleshooting.md have in common.
 * A table and nothing else, as errors take their words from it.
 */
export const matters = {
  'iommu-active': {
    finding: 'No IOMMU is at work',
    why: 'Without one VFIO takes no device: nothing would keep its DMA from the memory of the kernel and of other programs.',
    hint: 'Is the IOMMU on in the firmware and the kernel, or in a virtual machine, does it have one?',
  },
  'vm-guest': {
    finding: 'This is a virtual machine without a virtual IOMMU',
    why: 'A guest has an IOMMU only where its host gives it one, whatever the firmware and the command line of the guest say.',
  },
  'kernel-options': {
    finding: 'The command line of the kernel turns the IOMMU off, or has a value that the kernel does not know',
    why: 'The kernel leaves the IOMMU alone, however the firmware is set.',
  },
  'no-iommu-group': {
    finding: 'The device has no IOMMU group',
    why: 'vfio-pci refuses a device without one (probe fails with error -22), though other devices may have theirs: no IOMMU is in front of this one.',
  },
  'intr-remap': {
    finding: 'Interrupts are not remapped',
    why: 'A device could forge interrupts of others by a write to memory, so VFIO refuses with EPERM, root too.',
    hint: 'The platform does not isolate interrupts: turn on interrupt remapping in the firmware.',
  },
  'unsafe-interrupts': {
    finding: 'Unsafe interrupts are allowed',
    why: 'A device, or who drives it, can forge any interrupt of this machine.',
    hint: 'vfio_iommu_type1.allow_unsafe_interrupts=1 overrides it and lets a device forge interrupts.',
  },
  rmrr: {
    finding: 'The firmware wants memory of its own mapped for the device',
    why: 'The kernel keeps such devices for itself: they bind to vfio-pci, and then do not attach. It is firmware policy; some vendors have a setting for the slot.',
  },
  'iommu-width': {
    finding: 'The IOMMU translates fewer than 39 bits of address',
    why: 'IOVAs above that are refused with EINVAL: programs that map memory at its own address do not work.',
  },
  'acs-override': {
    finding: 'The command line splits IOMMU groups that the hardware does not keep apart (pcie_acs_override)',
    why: 'Devices of different groups may reach each other: the borders of groups are not to be trusted on this machine.',
  },
  'vfio-module': {
    finding: 'The driver vfio-pci is not there',
    why: 'A device can be given to VFIO only by a driver of VFIO.',
  },
  'type1-module': {
    finding: 'The module vfio_iommu_type1 is not loaded',
    why: 'A container has no IOMMU driver to choose: CHECK_EXTENSION answers 0, and SET_IOMMU ENODEV.',
    hint: 'No IOMMU driver of this type: load vfio_iommu_type1, or pick a type that CHECK_EXTENSION confirms.',
  },
  iommufd: {
    finding: 'There is no /dev/iommu',
    why: 'Devices are reached through groups and containers alone: no address space for several devices, no page tables, no nesting. It takes Linux 6.2 and the module iommufd.',
    hint: '/dev/iommu comes with the iommufd module, of Linux 6.2.',
  },
  cdev: {
    finding: 'A device that VFIO has is without a node of its own',
    why: 'It can be opened through its group alone. Nodes of devices take Linux 6.6, built with VFIO_DEVICE_CDEV.',
  },
  'dma-entry-limit': {
    finding: 'vfio_iommu_type1.dma_entry_limit is lower than usual',
    why: 'A container takes that many mappings, and refuses the next with ENOSPC.',
    hint: 'The container has no mapping left: join mappings, or raise vfio_iommu_type1.dma_entry_limit.',
  },
  intx: {
    finding: 'vfio-pci takes every device for one that cannot mask its interrupt line (nointxmask)',
    why: 'A line that is shared cannot be enabled then: EBUSY.',
    hint: 'The interrupt line is shared and the device cannot mask it; use MSI or MSI-X.',
  },
  denylist: {
    finding: 'The device is one that vfio-pci refuses',
    why: 'Its users could bring down the machine, so binding it fails with -22; disable_denylist overrides that for users who are trusted as root is.',
  },
  noiommu: {
    finding: 'No-IOMMU mode is on',
    why: 'A device in it reaches all memory, and who drives it is as good as root. The kernel is tainted by it.',
  },
  'raw-io': {
    finding: 'The process has no CAP_SYS_RAWIO, which devices without an IOMMU take',
    why: 'Opening such a group is EPERM, whatever the mode of its node.',
    hint: 'Opening a no-IOMMU group takes CAP_SYS_RAWIO.',
  },
  lockdown: {
    finding: 'The kernel is locked down',
    why: 'Registers and configuration space cannot be written through sysfs or /dev/mem, not by root either. VFIO works, and is the way.',
  },
  'boot-bind': {
    finding: 'The command line gives vfio-pci a device that another driver has',
    why: 'The option vfio-pci.ids works only for a driver that is built into the kernel, or loaded before the other one.',
  },
  vmd: {
    finding: 'There is an Intel Volume Management Device',
    why: 'NVMe drives behind it are in a PCI domain of its own, from 10000 on, and have no IOMMU group for themselves: they cannot be given to VFIO while it is on.',
  },
  'group-viable': {
    finding: 'The IOMMU group is not viable: a host driver has a device of it',
    why: 'Devices of a group can reach each other, so VFIO takes all or none. Those without a driver, and bridges, do not matter.',
    hint: 'The group is not viable: another of its devices is still with a host driver; bind all of them to vfio-pci.',
  },
  acs: {
    finding: 'The device shares its IOMMU group with devices of other slots',
    why: 'Something on the way up does not keep them apart (no ACS), so they go to VFIO together. Another slot may be isolated.',
  },
  'stale-override': {
    finding: 'driver_override names a driver that does not have the device',
    why: 'No other driver takes the device while it stands, not the one it had before either.',
  },
  'not-bound': {
    finding: 'The device is not with a driver of VFIO',
    why: 'It has no node to be opened by until it is.',
    hint: 'Is the device bound to vfio-pci, and the vfio module loaded?',
  },
  bridge: {
    finding: 'The device is a bridge',
    why: "VFIO takes endpoints alone; bridges of a group stay with the kernel and are in nobody's way.",
  },
  'device-gone': {
    finding: 'The configuration space of the device reads as ones',
    why: 'It does not answer: it fell off its link, has no power, or hangs. Its registers read as ones too.',
  },
  'power-state': {
    finding: 'The device is open and asleep',
    why: 'Its registers read as ones, or fault, until it is back in D0.',
  },
  'memory-decode': {
    finding: 'The device is open, and memory decode is off in its command register',
    why: 'Accesses to its registers fail: EIO, or ERR_VFIO_BUS_FAULT where they are mapped.',
    hint: 'Memory decode is off or the device sleeps; set the memory bit of the command register.',
  },
  'bus-master': {
    finding: 'The device is open, and bus mastering is off',
    why: 'It reaches no memory and raises no MSI, and says nothing of it. VFIO turns it off when it opens or resets a device; enableBusMaster() turns it on.',
  },
  'reset-method': {
    finding: 'The device has no reset of its own',
    why: 'VFIO_DEVICE_RESET is EINVAL, and what one user leaves in the device the next one finds.',
    hint: 'The device has no function reset the kernel could use; see VFIO_DEVICE_FLAGS_RESET.',
  },
  'vf-token': {
    finding: 'The device is a virtual function whose physical function VFIO has',
    why: 'Opening it takes the token that was set there, and is EACCES without.',
    hint: "The device's physical function is with vfio-pci: give the vfToken that was set there.",
  },
  'node-access': {
    finding: 'The node of the device cannot be opened by this user',
    why: 'The kernel makes it for root alone, and open is EACCES for others.',
    hint: 'Give your user access to the node with a udev rule, for example: SUBSYSTEM=="vfio", OWNER="you".',
  },
  'container-node': {
    finding: '/dev/vfio/vfio or /dev/iommu cannot be opened by this user',
    why: 'A device needs one of them beside its own node. By itself it gives access to nothing: /dev/vfio/vfio is made for everybody.',
  },
  'missing-node': {
    finding: 'A node in /dev is missing',
    why: 'The kernel has it: it was removed, or this is a container that was not given it. Opening it is ENOENT.',
    hint: 'The node appears when it is; ' + 'that of a device without an IOMMU is called noiommu-NUMBER, which openNoIommuGroup opens.',
  },
  'stale-node': {
    finding: 'A node in /dev has not the numbers that the kernel has for it',
    why: 'It was made for another device, and kept: opening it opens that one, or is ENXIO or ENODEV.',
    hint: 'The node is of a device that is not there any more: take its name from sysfs each time?',
  },
  'container-cgroup': {
    finding: 'The control group of this process does not let it open nodes of VFIO',
    why: 'A container has to be granted a device; a mounted /dev/vfio is not enough, and open is EPERM.',
    hint: 'In a container, the device must be granted, not mounted?',
  },
  holder: {
    finding: 'A process has the device or its group open',
    why: 'A group can be open once, and a device through its group or by its own node: the next one is EBUSY, or by the node EINVAL. Unbinding waits for it.',
    hint: 'A group can be open once, and not while one of its devices is open by its own node: close it in the process that holds it.',
  },
  memlock: {
    finding: 'This process may lock little memory',
    why: 'All memory that is mapped for a device is locked, and what is over the limit is refused with ENOMEM. CAP_IPC_LOCK goes without it.',
    hint: 'RLIMIT_MEMLOCK is used up: raise it (ulimit -l), or give the process CAP_IPC_LOCK?',
  },
  hugepages: {
    finding: 'No huge page is free',
    why: 'Large mappings take long and many entries by small pages; without an IOMMU, memory for a device has to be of huge pages to stay where it is.',
  },
  'dma-faults': {
    finding: 'The IOMMU stopped a device from reaching memory',
    why: 'It used an address that is not mapped, not any more, or not in that direction. Without an IOMMU this would have been other memory.',
  },
} as const satisfies Readonly<Record<string, Matter>>;

/** The name of a matter: what `vfio doctor --check` takes. */
export type MatterId = keyof typeof matters;

export function matter(id: MatterId): Matter {
  return matters[id];
}
