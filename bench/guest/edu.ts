/** The lab's device, and memory to map for it. */
import { findDevices, native } from 'vfio';
import { MAP_ANONYMOUS, MAP_HUGETLB, MAP_POPULATE, MAP_PRIVATE, PROT_READ, PROT_WRITE } from 'vfio/abi';

export const kernel = native();

const [edu] = findDevices(kernel, { vendor: 0x1234, device: 0x11e8 });
if (edu === undefined) throw new Error('There is no edu device');
export const { address } = edu;

export const page = 0x1000n;
export const large = 0x20_0000n;
export const iova = 0x40_0000n;

const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE;
const mapping = kernel.mmap(-1, Number(large), PROT_READ | PROT_WRITE, flags, 0);
if (typeof mapping === 'number' || mapping.memory === undefined) throw new Error(`No huge page: ${String(mapping)}`);
export const memory = kernel.addressOf(mapping.memory);
