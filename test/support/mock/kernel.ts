/** A simulated kernel with CONFIG_IOMMUFD_TEST: the files of its operations, one per subject. */
import type { TestKernel } from '../../../lib/sim/machine.js';
import { accesses } from './accesses.js';
import { checks } from './checks.js';
import { devices } from './devices.js';
import { dirty } from './dirty.js';
import { events } from './events.js';
import { testCommand } from './operations.js';
import { pageRequests } from './page-requests.js';
import { pasids } from './pasids.js';

const operations = [...accesses, ...devices, ...checks, ...dirty, ...events, ...pageRequests, ...pasids];

export const mockKernel: TestKernel = { iommufdOperations: [testCommand(operations)] };
