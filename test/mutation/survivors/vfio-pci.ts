import { compiler, written, type Survivor } from './survivor.js';

const device = 'lib/sim/vfio-pci/device.ts';
const hotReset = 'lib/sim/vfio-pci/hot-reset.ts';

export const vfioPci: readonly Survivor[] = [
  { file: device, code: 'default: return 0;', replacement: 'default:', reason: 'no other index is asked for' },
  {
    file: device,
    code: 'this.#state === undefined',
    replacement: 'false',
    reason: 'only files of the open device ask; the compiler does not know',
  },
  {
    file: 'lib/sim/vfio-pci/dma-buf.ts',
    code: 'part === undefined',
    replacement: 'false',
    reason: 'a dma-buf of no part is refused when it is made; the compiler does not know',
  },
  ...['address !== 0 && hardware.readConfig(at, 4) !== address', 'address !== 0', 'hardware.readConfig(at, 4) !== address'].map((code) => ({
    file: 'lib/sim/vfio-pci/config.ts',
    code,
    replacement: 'true',
    reason: 'what is written to the registers of BARs then is what they hold',
  })),
  {
    file: hotReset,
    code: 'each.vfio === caller',
    replacement: 'true',
    reason: 'a virtual function on the bus is in no set but its own, so that the reset is refused whatever the others are in',
  },
  { file: hotReset, code: '!argument.copyTo(info.bytes)', replacement: 'false', reason: written },
  {
    file: hotReset,
    code: 'element === undefined',
    replacement: 'false',
    reason: 'the list was made for as many; the compiler does not know',
  },
  { file: 'lib/sim/vfio-pci/irqs.ts', code: 'default: return -errno.ENOTTY;', replacement: 'default:', reason: compiler },
  {
    file: 'lib/sim/vfio-pci/power-state.ts',
    code: 'at === undefined',
    replacement: 'false',
    reason: 'without power management the one state is D0, and none but that is asked for',
  },
  {
    file: 'lib/sim/vfio-pci/reset.ts',
    code: 'at === undefined',
    replacement: 'false',
    reason: 'only functions with power management come here; the compiler does not know',
  },
];
