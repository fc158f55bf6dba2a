/**
 * An NVMe driver: the whole of it is in this folder.
 *
 *   npx tsx examples/nvme/main.ts identify                       on a simulated machine, anywhere
 *   npx tsx examples/nvme/main.ts perf --random --depth 32
 *   npx tsx examples/nvme/main.ts identify --real 0000:01:00.0   a real one, which has vfio-pci as its driver
 *
 * perf takes --write (it overwrites what is there), --random, --depth, --size in bytes, --seconds.
 */
import { parseArgs } from 'node:util';
import { native, openDevice } from 'vfio';
import { Machine, Nvme } from 'vfio/sim';
import { Controller } from './controller.js';
import { perf } from './perf.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    real: { type: 'string' },
    interrupts: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    random: { type: 'boolean', default: false },
    depth: { type: 'string', default: '32' },
    size: { type: 'string', default: '4096' },
    seconds: { type: 'string', default: '2' },
  },
});
const [what = 'identify'] = positionals;

const kernel = values.real === undefined ? new Machine({ devices: [{ model: new Nvme() }] }).kernel : native();
using opened = openDevice(kernel, values.real ?? '0000:00:03.0');
const controller = await Controller.open(opened, { completion: values.interrupts ? 'interrupts' : 'polling' });
const [namespace] = controller.namespaces;
if (namespace === undefined) throw new Error('The controller has no namespace');

switch (what) {
  case 'identify':
    console.table({
      model: controller.model,
      serial: controller.serial,
      firmware: controller.firmware,
      'bytes of a command': controller.mostBytes,
      blocks: namespace.blocks,
      'bytes of a block': namespace.blockSize,
    });
    break;
  case 'perf': {
    const size = Number(values.size);
    const { random } = values;
    const done = await perf(controller, namespace, opened.dma, {
      kind: values.write ? 'write' : 'read',
      random,
      depth: Number(values.depth),
      size,
      seconds: Number(values.seconds),
    });
    const rate = done.operations / done.seconds;
    console.table({
      'operations a second': Math.round(rate),
      'MB a second': Number(((rate * size) / 1e6).toFixed(1)),
      ...Object.fromEntries(
        [0.5, 0.9, 0.99, 0.999].map((share) => [`p${share * 100}, µs`, Number(done.latencies.percentile(share).toFixed(1))]),
      ),
    });
    console.log(done.latencies.histogram());
    break;
  }
  default:
    throw new Error(`There is no '${what}', but identify and perf`);
}
await controller.close();
