/** The IOMMU, and what the firmware makes of it: judged by what it does, not by the command line. */
import type { Checks } from './check.js';
import type { Found } from './finding.js';
import { folderOf, line, type Scene } from './scene.js';

const units = '/sys/class/iommu';
const groups = '/sys/kernel/iommu_groups';
const commandLine = '/proc/cmdline';
const interrupts = '/proc/interrupts';

/** Units that kernels have for their own tests translate for no device. */
function unitsAtWork(scene: Scene): string[] {
  return scene.names(units).filter((name) => !name.startsWith('iommufd_selftest'));
}

/** Groups that an IOMMU made: those that vfio makes itself have a name. */
function groupsOfIommu(scene: Scene): string[] {
  return scene.names(groups).filter((group) => !scene.find(`${groups}/${group}/name`)?.startsWith('vfio-noiommu'));
}

/** It is there, and has made groups of what devices there are. */
export function iommuAtWork(scene: Scene): boolean {
  return unitsAtWork(scene).length > 0 && (groupsOfIommu(scene).length > 0 || scene.all.length === 0);
}

function inVirtualMachine(scene: Scene): boolean {
  return /^flags\s*:.*\bhypervisor\b/m.test(scene.find('/proc/cpuinfo') ?? '');
}

function* iommuActive(scene: Scene): Iterable<Found> {
  if (iommuAtWork(scene)) return;
  yield {
    severity: 'failure',
    evidence: [line(units, unitsAtWork(scene).join(' ') || '(empty)'), line(groups, groupsOfIommu(scene).join(' ') || '(empty)')],
    fix: inVirtualMachine(scene)
      ? ['# See vm-guest']
      : [
          '# Turn on VT-d, AMD-Vi or the SMMU in the firmware. Where the kernel does not use it by itself:',
          "sudo sed -i 's/^GRUB_CMDLINE_LINUX=\"/&intel_iommu=on /' /etc/default/grub && sudo update-grub && sudo reboot",
        ],
  };
}

function* vmGuest(scene: Scene): Iterable<Found> {
  if (iommuAtWork(scene) || !inVirtualMachine(scene)) return;
  yield {
    severity: 'note',
    evidence: [line('/proc/cpuinfo', 'flags: hypervisor')],
    fix: [
      '# On the host, give the machine an IOMMU, for QEMU: -machine q35,kernel-irqchip=split -device intel-iommu,intremap=on',
      '# To try a driver, `vfio lab` has machines with one, and a simulated machine needs none.',
    ],
  };
}

/** Options as users have them; only Intel and AMD know any of it, and AMD's driver has no 'on'. */
const turnOff =
  /(?:^|\s)((?:intel_iommu|amd_iommu|iommu)=off|amd_iommu=on|intel_iommu=(?!on|sm_on|sm_off|igfx_off|forcedac|strict|tboot_noforce)[^\s,]+)/;

function* kernelOptions(scene: Scene): Iterable<Found> {
  const options = scene.text(commandLine);
  const [, option] = turnOff.exec(options) ?? [];
  if (iommuAtWork(scene) || option === undefined) return;
  yield {
    severity: 'failure',
    evidence: [line(commandLine, options.trim())],
    fix: [`sudo sed -i 's/ *${option}//' /etc/default/grub && sudo update-grub && sudo reboot`],
  };
}

function* noGroup(scene: Scene): Iterable<Found> {
  // Where there is no IOMMU at all, that is the finding, unless somebody asks about the device.
  if (!iommuAtWork(scene) && scene.asked === undefined) return;
  for (const { address, group, noIommu } of scene.devices)
    if (group === undefined || noIommu)
      yield {
        severity: 'failure',
        device: address,
        evidence: [line(`${folderOf(address)}/iommu_group`, noIommu ? `${group}, made by vfio without an IOMMU` : undefined)],
        fix: ['# Move the device to a slot that an IOMMU is in front of, or turn the IOMMU on: vfio doctor --check iommu-active'],
      };
}

/** Lines of interrupts that come by a controller of x86: remapped ones begin with IR. */
function remapped(scene: Scene): boolean | undefined {
  const lines = scene.text(interrupts);
  return /\bIR-(IO-APIC|PCI|HPET)/.test(lines) ? true : /\bIO-APIC\b/.test(lines) ? false : undefined;
}

const allowUnsafe = ['vfio_iommu_type1', 'iommufd'].map((module) => `/sys/module/${module}/parameters/allow_unsafe_interrupts`);
const unsafeAllowed = (scene: Scene): string[] => allowUnsafe.filter((file) => scene.find(file) === 'Y');

function* interruptRemapping(scene: Scene): Iterable<Found> {
  if (!iommuAtWork(scene) || remapped(scene) !== false || unsafeAllowed(scene).length > 0) return;
  yield {
    severity: 'failure',
    evidence: [line(interrupts, 'IO-APIC, and no IR-IO-APIC'), ...allowUnsafe.map((file) => line(file, scene.find(file)))],
    fix: [
      '# Turn on interrupt remapping (x2APIC, VT-d interrupt remapping) in the firmware, and take intremap=off and nointremap off:',
      "sudo sed -i -E 's/ *(intremap=off|nointremap)//' /etc/default/grub && sudo update-grub && sudo reboot",
      '# allow_unsafe_interrupts would let it pass, and the device forge interrupts: only for devices and programs trusted as root is.',
    ],
  };
}

function* unsafeInterrupts(scene: Scene): Iterable<Found> {
  const files = unsafeAllowed(scene);
  if (files.length === 0) return;
  yield {
    severity: 'warning',
    evidence: files.map((file) => line(file, 'Y')),
    fix: files.map((file) => `echo N | sudo tee ${file}`),
  };
}

function* firmwareRegions(scene: Scene): Iterable<Found> {
  for (const { address, group } of scene.devices) {
    const file = `${groups}/${group}/reserved_regions`;
    const regions = group === undefined ? [] : (scene.find(file) ?? '').split('\n').filter((region) => / direct$/.test(region));
    if (regions.length > 0)
      yield {
        severity: 'failure',
        device: address,
        evidence: regions.map((region) => line(file, region)),
        fix: ["# Turn the firmware's use of this slot off in its set-up (HPE: 'shared memory' of the slot), or take another slot"],
      };
  }
}

/** Bits of address that Intel's unit takes, as its capability register has it less one. */
function* width(scene: Scene): Iterable<Found> {
  for (const unit of unitsAtWork(scene)) {
    const file = `${units}/${unit}/intel-iommu/cap`;
    const capability = scene.find(file);
    const bits = capability === undefined ? 64 : Number((BigInt(`0x${capability}`) >> 16n) & 0x3fn) + 1;
    if (bits < 39)
      yield {
        severity: 'warning',
        evidence: [line(file, `${capability} (${bits} bits)`)],
        fix: ['# Let the library choose addresses: dma.allocate(size), or map() without an IOVA; ranges() says what there is'],
      };
  }
}

function* acsOverride(scene: Scene): Iterable<Found> {
  const options = scene.text(commandLine);
  const [option] = /\bpcie_acs_override=\S+/.exec(options) ?? [];
  if (option === undefined) return;
  yield {
    severity: 'warning',
    evidence: [line(commandLine, options.trim())],
    fix: [`sudo sed -i 's/ *${option}//' /etc/default/grub && sudo update-grub && sudo reboot`],
  };
}

export const iommuChecks = {
  'iommu-active': iommuActive,
  'vm-guest': vmGuest,
  'kernel-options': kernelOptions,
  'no-iommu-group': noGroup,
  'intr-remap': interruptRemapping,
  'unsafe-interrupts': unsafeInterrupts,
  rmrr: firmwareRegions,
  'iommu-width': width,
  'acs-override': acsOverride,
} satisfies Checks;
