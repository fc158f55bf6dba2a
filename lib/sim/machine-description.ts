import { expected } from '../kernel/error.js';
import type { IommuOptions } from './iommu-options.js';
import { Machine, type DeviceOptions, type MachineOptions } from './machine.js';
import { E1000e } from './models/e1000e/card.js';
import { Edu } from './models/edu.js';
import { Nvme } from './models/nvme/controller.js';
import { wire } from './network/wire.js';
import type { ReservedRegion } from './profile.js';

/** A machine in JSON: `MachineOptions`, with a model's name and its options in its place, and numbers of 64 bits as texts: '0x1000'. */
export interface MachineDescription extends Omit<MachineOptions, 'devices' | 'iommu' | 'time'> {
  readonly devices?: readonly DeviceDescription[];
  readonly iommu?: MachineOptions['iommu'] | IommuDescription;
}

/** A device of it. */
export type DeviceDescription = Omit<DeviceOptions, 'model'> &
  (
    | { readonly model: 'edu'; readonly dmaMask?: string }
    | { readonly model: 'nvme'; readonly size?: number; readonly blockSize?: 512 | 4096; readonly serial?: string }
    /** Two cards of the same cable are at its ends. */
    | { readonly model: 'e1000e'; readonly station?: string; readonly cable?: number }
  );

/** `IommuOptions` with texts for what is of 64 bits. */
export type IommuDescription = Omit<IommuOptions, 'pageSizes' | 'reserved'> & {
  readonly pageSizes?: readonly string[];
  readonly reserved?: readonly { readonly start: string; readonly last: string; readonly type: ReservedRegion['type'] }[];
};

const machineNames = [
  ...['kernel', 'iommu', 'container', 'iommuFeatures', 'devices', 'mediated', 'allowUnsafeInterrupts', 'dmaEntryLimit'],
  ...['lockedMemoryLimit', 'unsafeNoIommu', 'rawIo', 'user', 'files'],
];
const placeNames = ['model', 'address', 'group', 'driver', 'hostDriver', 'physicalFunction'];
const modelNames: Readonly<Record<string, readonly string[]>> = {
  edu: ['dmaMask'],
  nvme: ['size', 'blockSize', 'serial'],
  e1000e: ['station', 'cable'],
};

/**
 * The machine that a JSON text describes, as files for `vfio --sim` do.
 * @throws SyntaxError for what is no JSON, RangeError that names what is wrong in it.
 */
export function parseMachine(text: string): Machine {
  const description = checkedObject('the machine', JSON.parse(text), machineNames) as MachineDescription;
  const { devices = [], iommu, ...rest } = description;
  if (!Array.isArray(devices)) throw expected('a list', 'devices', devices);
  const cables = new Map<number, E1000e>();
  return new Machine({
    ...rest,
    ...(iommu !== undefined && { iommu: typeof iommu === 'object' ? iommuOptions(iommu as IommuDescription) : iommu }),
    devices: devices.map((device: DeviceDescription, index) => deviceOptions(`devices[${index}]`, device, cables)),
  });
}

function deviceOptions(where: string, description: DeviceDescription, cables: Map<number, E1000e>): DeviceOptions {
  const model = (description as { readonly model?: unknown } | null)?.model;
  if (typeof model !== 'string' || !Object.hasOwn(modelNames, model))
    throw expected(`one of ${Object.keys(modelNames).join(', ')}`, `${where}.model`, model);
  const own = modelNames[model] ?? [];
  checkedObject(where, description, [...placeNames, ...own]);
  const place = Object.fromEntries(Object.entries(description).filter(([name]) => name !== 'model' && !own.includes(name)));
  return { ...place, model: makeModel(where, description, cables) };
}

function makeModel(where: string, description: DeviceDescription, cables: Map<number, E1000e>): DeviceOptions['model'] {
  if (description.model === 'edu')
    return new Edu(description.dmaMask === undefined ? {} : { dmaMask: wide(`${where}.dmaMask`, description.dmaMask) });
  if (description.model === 'nvme') return new Nvme(description);
  const card = new E1000e(description);
  const { cable } = description;
  if (cable === undefined) return card;
  const other = cables.get(cable);
  if (other === undefined) cables.set(cable, card);
  else wire(other, card);
  return card;
}

function iommuOptions({ pageSizes, reserved, ...rest }: IommuDescription): IommuOptions {
  return {
    ...rest,
    ...(pageSizes !== undefined && { pageSizes: pageSizes.map((size) => wide('iommu.pageSizes', size)) }),
    ...(reserved !== undefined && {
      reserved: reserved.map(({ start, last, type }) => ({
        start: wide('iommu.reserved.start', start),
        last: wide('iommu.reserved.last', last),
        type,
      })),
    }),
  };
}

function checkedObject(what: string, value: unknown, names: readonly string[]): object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw expected('an object', what, value);
  const unknown = Object.keys(value).find((name) => !names.includes(name));
  if (unknown !== undefined) throw expected(`names among ${names.join(', ')}`, what, unknown);
  return value;
}

function wide(what: string, text: string): bigint {
  if (typeof text !== 'string' || !/^(0x[0-9a-f]+|\d+)$/i.test(text)) throw expected("a number in a text, '0x1000'", what, text);
  return BigInt(text);
}
