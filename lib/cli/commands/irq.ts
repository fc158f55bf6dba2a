import { Option } from 'commander';
import { command, type VfioCommand } from '../command.js';
import type { InterruptOptions } from '../irq.js';
import { paragraphs } from '../paragraphs.js';
import { opening, opensDevice } from '../registers/options.js';
import { address, number, seconds } from '../values.js';

export function irqCommand(): VfioCommand {
  return opening(command('irq', 'wait for interrupts of a device and count them'))
    .description(
      paragraphs(`
Enables a kind of interrupt of a device, prints each that comes, and at the end how many there were. With --loopback, the
kernel signals each vector itself, which tries everything but the device. With --write, a register is written once the
interrupts are enabled, for a device that has to be asked; MSI and MSI-X need the device to be bus master, which it is for as
long as that. A line that comes by INTx is unmasked after each.

${opensDevice}`),
    )
    .argument('<address>', 'PCI address of the device', address)
    .addOption(
      new Option('--kind <kind>', 'of interrupt; default: the first of msix, msi and intx that the device has').choices([
        ...['intx', 'msi', 'msix', 'err', 'req'],
      ]),
    )
    .option('--vector <number...>', 'the vectors to wait for; default: all', (text, before: number[] = []) => [...before, number(text)])
    .option('--for <seconds>', 'how long to wait; default: until Ctrl-C', seconds)
    .option('--count <number>', 'end after so many interrupts', number)
    .option('--loopback', 'have the kernel signal each vector, and fail if one does not come')
    .option('--write <region-offset-value...>', 'three words: write the value, of 32 bits, there, when all is enabled')
    .example('vfio irq 01:00.0', 'print interrupts until Ctrl-C')
    .example('vfio irq 01:00.0 --kind msix --vector 0 2 --for 10', 'two vectors, for ten seconds')
    .example('vfio irq 01:00.0 --loopback', 'see that each vector reaches this program, and how fast')
    .example('vfio irq 00:03.0 --write bar0 0x60 1 --count 1', "have QEMU's edu device interrupt, and wait for that")
    .runs<InterruptOptions>(async (context, options, args) => (await import('../irq.js')).irq(context, options, args));
}
