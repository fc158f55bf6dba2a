import { InvalidArgumentError, Option } from 'commander';
import { variants } from '../../lab/kernel-options.js';
import { iommuNames } from '../../lab/machines.js';
import { command, type VfioCommand } from '../command.js';
import type { LabOptions } from '../lab.js';
import { paragraphs } from '../paragraphs.js';

const collect = (value: string, list: readonly string[]): string[] => [...list, value];

/** For commander: a number above 0. */
function positive(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new InvalidArgumentError(`Expected a positive number but received '${text}'.`);
  return value;
}

export function labCommand(): VfioCommand {
  return command('lab', 'run a command on a real kernel, with emulated devices')
    .description(
      paragraphs(`
Runs a command on a real Linux kernel, in QEMU, with an emulated IOMMU and PCI devices that vfio-pci has. The guest has this
machine's files, at the same paths, and runs in the same folder as the same user would; what it writes is gone at its end, but
for what is in the folder of --output. The exit status of the command is that of the lab, 124 if it took too long, 70 if it
was well but the kernel complained, and 75 if the emulator failed: then it can be run again.

The first run of a kernel downloads and builds it, which takes minutes and a Debian with its compilers; later ones boot in
seconds. The processor is emulated, 10 to 30 times slower than a real one.`),
    )
    .argument('[command...]', 'what to run in the guest, behind --')
    .option('--kernel <version>', 'a version like 6.12, or newest', 'newest')
    .addOption(new Option('--variant <variant>', 'what is special about the kernel').choices([...variants]).default('default'))
    .addOption(new Option('--iommu <kind>', 'the IOMMU').choices([...iommuNames]).default('intel'))
    .option('--device <device>', "a QEMU device with its properties, repeatable; 'none' for none; default: edu", collect, [])
    .option('--kernel-argument <argument>', 'for the kernel command line, repeatable', collect, [])
    .option('--memory <megabytes>', 'memory of the guest', positive, 2048)
    .option('--timeout <seconds>', 'when to give up', positive, 600)
    .option('--no-bind', 'leave the devices without a driver instead of giving them to vfio-pci')
    .option('--host-drivers', "have the kernel's own drivers of nvme and e1000e")
    .option('--output <folder>', 'a folder the command may write to, at the same path')
    .option('--boot-log', 'show what the kernel prints')
    .option('--list', 'print the kernels that are built, and nothing else')
    .option('--prepare', 'build the kernel, in all variants, if it is not there, and nothing else')
    .option('--print-headers', "print the folder of the kernel's headers for user space")
    .passThroughOptions()
    .example('vfio lab -- npx vfio list', 'the devices of a machine with an IOMMU and an edu device')
    .example('vfio lab --kernel 6.12 --iommu amd --device nvme -- node driver.mjs', 'a driver for NVMe on another kernel and IOMMU')
    .example('vfio lab --host-drivers --no-bind --device nvme -- lsblk', "the kernel's own driver, and what it makes of the device")
    .runs<LabOptions>(async (context, options, args) => (await import('../lab.js')).lab(context, options, args));
}
