/** What of VFIO the kernel has, and how it is set. */
import { denylistPath, isDenied } from '../pci/denylist.js';
import { noIommuModePath } from '../pci/driver.js';
import type { Checks } from './check.js';
import type { Found } from './finding.js';
import { iommuAtWork } from './iommu.js';
import { folderOf, line, type Scene } from './scene.js';

const vfioPci = '/sys/bus/pci/drivers/vfio-pci';
const type1 = '/sys/module/vfio_iommu_type1';
const spapr = '/sys/module/vfio_iommu_spapr_tce';
const iommu = '/dev/iommu';
const usualEntryLimit = 65535;

function* vfioModule(scene: Scene): Iterable<Found> {
  if (scene.exists(vfioPci)) return;
  yield { severity: 'failure', evidence: [line(vfioPci, undefined)], fix: ['sudo modprobe vfio-pci'] };
}

/** Groups need it; devices with nodes of their own go by /dev/iommu, which can also answer in place of a container. */
function* type1Module(scene: Scene): Iterable<Found> {
  if (!scene.exists('/sys/module/vfio') || scene.exists(type1) || scene.exists(spapr) || scene.exists('/sys/module/iommufd')) return;
  yield { severity: 'failure', evidence: [line(type1, undefined)], fix: ['sudo modprobe vfio_iommu_type1'] };
}

function* iommufd(scene: Scene): Iterable<Found> {
  // On POWER there is none.
  if (scene.exists('/sys/module/iommufd') || scene.exists(iommu) || scene.exists(spapr)) return;
  const release = '/proc/sys/kernel/osrelease';
  const version = scene.text(release);
  const [major = 0, minor = 0] = version.split('.').map(Number);
  yield {
    severity: 'note',
    evidence: [line(iommu, undefined), line(release, version)],
    fix: [
      major > 6 || (major === 6 && minor >= 2) ? 'sudo modprobe iommufd' : '# Containers do as well; for /dev/iommu, take a newer kernel',
    ],
  };
}

function* deviceNodes(scene: Scene): Iterable<Found> {
  const without = scene.vfioDevices.filter(({ node, noIommu }) => node === undefined && !noIommu);
  if (without.length === 0 || scene.exists(spapr)) return;
  yield {
    severity: 'note',
    evidence: without.map(({ address }) => line(`${folderOf(address)}/vfio-dev/*/dev`, undefined)),
    fix: ['# Open the device through its group, as openDevice() does by itself, or take a kernel from 6.6 with VFIO_DEVICE_CDEV'],
  };
}

function* entryLimit(scene: Scene): Iterable<Found> {
  const file = `${type1}/parameters/dma_entry_limit`;
  const limit = scene.find(file);
  if (limit === undefined || Number(limit) >= usualEntryLimit) return;
  yield { severity: 'warning', evidence: [line(file, limit)], fix: [`echo ${usualEntryLimit} | sudo tee ${file}`] };
}

function* lineMasking(scene: Scene): Iterable<Found> {
  const file = '/sys/module/vfio_pci/parameters/nointxmask';
  if (scene.find(file) === 'Y') yield { severity: 'warning', evidence: [line(file, 'Y')], fix: [`echo N | sudo tee ${file}`] };
}

function* denied(scene: Scene): Iterable<Found> {
  for (const found of scene.devices)
    if (isDenied(scene.kernel, found))
      yield {
        severity: 'failure',
        device: found.address,
        evidence: [
          line(`${folderOf(found.address)}/device`, `0x${found.device.toString(16).padStart(4, '0')}`),
          line(denylistPath, scene.find(denylistPath)),
        ],
        fix: ['# Leave it to its own driver. Where all its users are trusted as root is, vfio-pci can be loaded with disable_denylist=1'],
      };
}

function* withoutIommu(scene: Scene): Iterable<Found> {
  const mode = scene.find(noIommuModePath);
  const devices = scene.devices.filter(({ noIommu }) => noIommu);
  if (mode !== 'Y' && devices.length === 0) return;
  yield {
    severity: 'warning',
    evidence: [line(noIommuModePath, mode), ...devices.map(({ address, group }) => line(`${folderOf(address)}/iommu_group`, group))],
    fix: [
      ...devices.map(({ address }) => `echo ${address} | sudo tee ${vfioPci}/unbind`),
      `echo N | sudo tee ${noIommuModePath}`,
      ...(iommuAtWork(scene) ? [] : ['# and turn the IOMMU on: vfio doctor --check iommu-active']),
    ],
  };
}

function* rawIo(scene: Scene): Iterable<Found> {
  const devices = scene.vfioDevices.filter(({ noIommu }) => noIommu);
  if (devices.length === 0 || scene.process.has('CAP_SYS_RAWIO')) return;
  yield {
    severity: 'failure',
    evidence: [line('/proc/self/status', 'CapEff without cap_sys_rawio')],
    fix: ['sudo setcap cap_sys_rawio+ep "$(readlink -f "$(command -v node)")"'],
  };
}

function* lockdown(scene: Scene): Iterable<Found> {
  const file = '/sys/kernel/security/lockdown';
  const modes = scene.find(file);
  if (modes === undefined || !/\[(integrity|confidentiality)\]/.test(modes)) return;
  yield { severity: 'note', evidence: [line(file, modes)], fix: ['# Use VFIO: vfio read, write and dump work'] };
}

function* bootBinding(scene: Scene): Iterable<Found> {
  const options = scene.text('/proc/cmdline');
  const [, ids = ''] = /\bvfio[-_]pci\.ids=(\S+)/.exec(options) ?? [];
  for (const id of ids.split(',').filter((each) => each !== '')) {
    const [vendor, device] = id.split(':').map((part) => Number.parseInt(part, 16));
    for (const found of scene.all)
      if (found.vendor === vendor && found.device === device && found.driver !== undefined && found.driver !== 'vfio-pci')
        yield {
          severity: 'warning',
          device: found.address,
          evidence: [line('/proc/cmdline', options.trim()), line(`${folderOf(found.address)}/driver`, found.driver)],
          fix: [
            `npx vfio bind ${found.address} --persistent`,
            `# or have the module first: echo 'softdep ${found.driver} pre: vfio-pci' | sudo tee /etc/modprobe.d/vfio.conf && sudo update-initramfs -u`,
          ],
        };
  }
}

/** RAID bus controllers that hide drives behind themselves, by the driver that takes them, or where there is none by their ids. */
const volumeManagement = [0x201d, 0x28c0, 0x467f, 0x4c3d, 0x7d0b, 0x9a0b, 0xa77f, 0xad0b, 0xb60b, 0xb06f];

function* volumes(scene: Scene): Iterable<Found> {
  for (const { address, vendor, device, driver } of scene.all)
    if (driver === 'vmd' || (vendor === 0x8086 && volumeManagement.includes(device)))
      yield {
        severity: 'note',
        device: address,
        evidence: [line(`${folderOf(address)}/driver`, driver)],
        fix: ['# To give such a drive to VFIO, turn VMD off for its slot in the firmware'],
      };
}

export const moduleChecks = {
  'vfio-module': vfioModule,
  'type1-module': type1Module,
  iommufd,
  cdev: deviceNodes,
  'dma-entry-limit': entryLimit,
  intx: lineMasking,
  denylist: denied,
  noiommu: withoutIommu,
  'raw-io': rawIo,
  lockdown,
  'boot-bind': bootBinding,
  vmd: volumes,
} satisfies Checks;
