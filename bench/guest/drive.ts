/**
 * Reads or writes a second of 4 KiB, 32 at a time, through the example driver of an NVMe drive.
 *
 *   drive randread|randwrite|read SECONDS ADDRESS
 */
import { native, openDevice } from 'vfio';
import { Controller } from '../../examples/nvme/controller.js';
import { perf } from '../../examples/nvme/tools/perf.js';
import { warmUpMilliseconds } from './measure.js';

const [workload = '', seconds, address = ''] = process.argv.slice(2);
using opened = openDevice(native(), address);
const controller = await Controller.open(opened, { completion: 'polling' });
const options = {
  kind: workload.endsWith('write') ? 'write' : 'read',
  random: workload.startsWith('rand'),
  depth: 32,
  size: 4096,
} as const;
const run = (seconds: number): ReturnType<typeof perf> => perf(controller, controller.namespaces[0]!, opened.dma, { ...options, seconds });
// V8 compiles what it has seen a while.
await run(warmUpMilliseconds / 1000);
const result = await run(Number(seconds));
console.log(`${workload} ${result.operations / result.seconds}`);
await controller.close();
