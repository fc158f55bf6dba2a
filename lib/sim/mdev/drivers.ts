/** The drivers of mediated devices a machine can have. */
import type { KernelProfile } from '../profile.js';
import { mbochs } from './mbochs.js';
import { mdpy } from './mdpy.js';
import { mtty } from './mtty.js';
import type { MdevDriver } from './parent.js';

/** By their names in the kernel's samples. */
export type MediatedDriver = 'mtty' | 'mdpy' | 'mbochs';

export const mediatedDrivers: Readonly<Record<MediatedDriver, (kernel: KernelProfile) => MdevDriver>> = { mtty, mdpy, mbochs };
