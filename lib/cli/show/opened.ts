/** What VFIO says of a device, to who has opened it: which resets it. */
import * as abi from '../../abi/index.js';
import type { Kernel } from '../../kernel/kernel.js';
import type { IovaRange } from '../../memory/address-space.js';
import { openDevice } from '../../open.js';
import type { Device, DeviceInfo } from '../../vfio/device.js';
import type { HotResetInfo } from '../../vfio/hot-reset.js';
import { interruptIndex, type InterruptInfo, type InterruptName } from '../../vfio/interrupts.js';
import type { RegionInfo } from '../../vfio/region.js';
import { KernelError } from '../../kernel/error.js';
import { regionTitle } from '../registers/region-names.js';
import { sizeText } from './header-text.js';

export interface OpenedFacts {
  /** How it was opened. */
  readonly way: string;
  readonly info: Omit<DeviceInfo, 'capabilities'>;
  readonly regions: readonly Omit<RegionInfo, 'capabilities'>[];
  readonly interrupts: readonly InterruptInfo[];
  /** By name, what can be done with each. */
  readonly features: Readonly<Record<string, readonly string[]>>;
  /** Undefined where its bus cannot be reset. */
  readonly hotReset: HotResetInfo | undefined;
  readonly iovaRanges: readonly IovaRange[];
  readonly pageSizes: readonly bigint[];
}

const features: Readonly<Record<string, number>> = {
  'VF token': abi.VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
  migration: abi.VFIO_DEVICE_FEATURE_MIGRATION,
  'migration state': abi.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
  'migration data size': abi.VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
  'migration precopy info': abi.VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
  'low power entry': abi.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
  'low power entry with wakeup': abi.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
  'low power exit': abi.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
  'DMA logging start': abi.VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
  'DMA logging stop': abi.VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
  'DMA logging report': abi.VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
  'bus master': abi.VFIO_DEVICE_FEATURE_BUS_MASTER,
  'DMA-BUF': abi.VFIO_DEVICE_FEATURE_DMA_BUF,
  'zPCI error': abi.VFIO_DEVICE_FEATURE_ZPCI_ERROR,
};

/** Opens the device, asks, and closes it. @throws what `openDevice` throws. */
export function readOpened(kernel: Kernel, address: string): OpenedFacts {
  const opened = openDevice(kernel, address);
  try {
    const { device, dma, way } = opened;
    const { capabilities: _, ...info } = device.info;
    return {
      way,
      info,
      regions: Array.from({ length: info.regions }, (_, index) => regionOf(device, index)).filter((region) => region !== undefined),
      interrupts: Array.from({ length: info.interrupts }, (_, index) => interruptOf(device, index)).filter((one) => one !== undefined),
      features: featuresOf(device),
      hotReset: ifAny(() => device.hotResetInfo()),
      iovaRanges: dma.ranges(),
      pageSizes: dma.pageSizes(),
    };
  } finally {
    opened.close();
  }
}

function regionOf(device: Device, index: number): Omit<RegionInfo, 'capabilities'> | undefined {
  const region = ifAny(() => device.region(index));
  if (region === undefined || region.size === 0) return undefined;
  const { capabilities: _, ...info } = region.info;
  return info;
}

function interruptOf(device: Device, index: number): InterruptInfo | undefined {
  const interrupt = ifAny(() => device.interrupt(index).info);
  return interrupt === undefined || interrupt.count === 0 ? undefined : interrupt;
}

/** What the kernel says is not there: errors of a conventional device before Linux 7.3, a VGA region of what is no display, a reset of a bus that cannot be reset. */
function ifAny<T>(ask: () => T): T | undefined {
  try {
    return ask();
  } catch (error) {
    if (error instanceof KernelError && ['EINVAL', 'ENODEV'].includes(error.code)) return undefined;
    throw error;
  }
}

function featuresOf({ features: asked }: Device): Record<string, string[]> {
  const found = Object.entries(features).map(
    ([name, number]) => [name, (['get', 'set'] as const).filter((operation) => asked.has(number, operation))] as const,
  );
  return Object.fromEntries(found.filter(([, operations]) => operations.length > 0));
}

const wordsOf = (named: Readonly<Record<string, boolean>>): string =>
  Object.keys(named)
    .filter((name) => named[name])
    .join(', ');

export function openedText({ way, info, regions, interrupts, features, hotReset, iovaRanges, pageSizes }: OpenedFacts): string[] {
  return [
    `  Through VFIO, by its ${way}: ${info.resettable ? 'it can be reset' : 'it has no reset of its own'}`,
    ...regions.map((region) => `    Region ${region.index}, ${regionTitle(region.index)}: ${regionWords(region)}`),
    ...interrupts.map((one) => `    Interrupt ${one.index}, ${interruptName(one.index)}: ${interruptWords(one)}`),
    ...Object.entries(features).map(([name, operations]) => `    Feature ${name}: ${operations.join(', ')}`),
    `    Hot reset: ${hotReset === undefined ? 'its bus cannot be reset' : `of ${hotReset.devices.map(({ address }) => address).join(', ')}`}`,
    `    IOVAs: ${iovaRanges.map(({ start, last }) => `0x${start.toString(16)} to 0x${last.toString(16)}`).join(', ')}`,
    `    Pages: ${pageSizes.map(sizeText).join(', ')}`,
  ];
}

function regionWords({ size, readable, writable, mappable, type, msixMappable }: OpenedFacts['regions'][number]): string {
  const all = mappable.length === 1 && mappable[0]?.offset === 0 && mappable[0].size === size;
  const parts = mappable.map(({ offset, size }) => `0x${offset.toString(16)} to 0x${(offset + size - 1).toString(16)}`);
  const mapped = all ? 'mappable' : `mappable from ${parts.join(' and ')}`;
  return [
    sizeText(BigInt(size)),
    ...(readable || writable ? [wordsOf({ readable, writable })] : []),
    ...(mappable.length === 0 ? [] : [mapped]),
    ...(msixMappable ? ['with the MSI-X table'] : []),
    ...(type === undefined ? [] : [`type 0x${type.type.toString(16)}, subtype ${type.subtype}`]),
  ].join(', ');
}

function interruptName(index: number): string {
  const names: Readonly<Record<InterruptName, string>> = { intx: 'INTx', msi: 'MSI', msix: 'MSI-X', err: 'errors', req: 'requests' };
  const name = (Object.keys(interruptIndex) as InterruptName[]).find((each) => interruptIndex[each] === index);
  return name === undefined ? 'its own' : names[name];
}

function interruptWords({ count, eventfd, maskable, automasked, fixedSize }: InterruptInfo): string {
  const words = wordsOf({ eventfd, maskable, automasked, 'fixed count': fixedSize });
  return `${count}${words === '' ? '' : `, ${words}`}`;
}
