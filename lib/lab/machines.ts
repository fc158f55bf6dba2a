/** The machines the lab can boot, as data. */

export const iommuNames = ['intel', 'amd', 'virtio', 'none'] as const;
export type IommuName = (typeof iommuNames)[number];

interface IommuMachine {
  readonly qemu: readonly string[];
  readonly kernel: readonly string[];
}

export const iommuMachines: Readonly<Record<IommuName, IommuMachine>> = {
  intel: {
    qemu: ['-M', 'q35,kernel-irqchip=split', '-device', 'intel-iommu,intremap=on,caching-mode=on'],
    kernel: ['intel_iommu=on'],
  },
  amd: {
    // QEMU's firmware tables say that the I/O APIC belongs to the function at 00:14.0, and there is none. Newer kernels
    // look whether it is a south bridge, and turn interrupt remapping off if not: so something of that class stands there.
    qemu: [
      '-M',
      'q35',
      '-device',
      'amd-iommu,intremap=on',
      '-drive',
      'if=none,id=southbridge,driver=null-co,size=1M',
      '-device',
      'virtio-blk-pci,drive=southbridge,class=0x0601,addr=14.0,disable-legacy=on',
    ],
    kernel: [],
  },
  // Its interrupts are not isolated: VFIO_SET_IOMMU is EPERM, which some tests want.
  virtio: { qemu: ['-M', 'q35', '-device', 'virtio-iommu-pci'], kernel: [] },
  none: { qemu: ['-M', 'q35'], kernel: ['vfio.enable_unsafe_noiommu_mode=1'] },
};

/** PCI ids, as sysfs writes them, of the devices that drivers are written for: these are given to vfio-pci. */
const driven: Readonly<Record<string, string>> = {
  edu: '0x1234:0x11e8',
  nvme: '0x1b36:0x0010',
  e1000e: '0x8086:0x10d3',
  VGA: '0x1234:0x1111',
  e1000: '0x8086:0x100e',
  igb: '0x8086:0x10c9',
  rtl8139: '0x10ec:0x8139',
  'pci-testdev': '0x1b36:0x0005',
  'ivshmem-plain': '0x1af4:0x1110',
  'ivshmem-doorbell': '0x1af4:0x1110',
  'qemu-xhci': '0x1b36:0x000d',
  'sdhci-pci': '0x1b36:0x0007',
  'pvpanic-pci': '0x1b36:0x0011',
};

/** Functions of the kernel that begin its own drivers of some of those: of nvme, and of e1000e. */
export const hostDriverInitcalls: readonly string[] = ['nvme_init', 'e1000_init_module'];

/** The model in a -device argument: 'edu' of 'edu,bus=bridge,addr=1'. */
function model(device: string): string {
  return device.split(',')[0] ?? device;
}

/** What puts network cards on one cable: `e1000e,hub=0`, as often as there are ends. */
const cable = /,hub=(\d+)/;

/**
 * QEMU's arguments for the devices asked for. An nvme without a drive gets the file that `emptyDisk` makes of a name, but one
 * of a subsystem can have no drive.
 */
export function deviceArguments(devices: readonly string[], emptyDisk: (name: string) => string): string[] {
  return devices.flatMap((device, index) => {
    const [part = '', hub] = cable.exec(device) ?? [];
    if (hub !== undefined) {
      const port = `port${index}`;
      return ['-netdev', `hubport,id=${port},hubid=${hub}`, '-device', `${device.replace(part, '')},netdev=${port}`];
    }
    if (model(device) !== 'nvme' || /,(drive|subsys)=/.test(device)) return ['-device', device];
    const disk = `disk${index}`;
    const file = emptyDisk(disk).replaceAll(',', ',,');
    const serial = device.includes(',serial=') ? '' : `,serial=${disk}`;
    return ['-drive', `if=none,id=${disk},format=raw,discard=unmap,file=${file}`, '-device', `${device},drive=${disk}${serial}`];
  });
}

/** The ids of those devices that vfio-pci is to have. */
export function drivenIds(devices: readonly string[]): string[] {
  return [...new Set(devices.flatMap((device) => driven[model(device)] ?? []))];
}
