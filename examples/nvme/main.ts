/**
 * An NVMe driver: the whole of it is in this folder.
 *
 *   npx tsx examples/nvme/main.ts identify                       on a simulated machine, anywhere
 *   npx tsx examples/nvme/main.ts identify --real 0000:01:00.0   a real one, which has vfio-pci as its driver
 *   … read --block 0 --count 2048 --to FILE
 *   … write --block 0 --from FILE          --pad: fills the last block up with zeros
 *   … flush
 *   … deallocate --block 0 --count 2048    what the blocks hold is not needed any more
 *   … perf --random --depth 32             --write or --mixed, which overwrite what is there; --size in bytes; --seconds; --json
 *   … verify --operations 100000           --depth, --seed, --blocks, --json; it overwrites what is there
 *
 * Each takes --namespace, or has the first, and --completion interrupts or polling: perf and verify poll, as how fast a drive
 * is would be lost in how long a process takes to wake up; the others sleep. --real-doorbells: none in memory, where the
 * controller has those.
 */
import { native, openDevice } from 'vfio';
import { Machine, Nvme } from 'vfio/sim';
import { Controller, type ControllerOptions } from './controller.js';
import { positionals, values } from './tools/options.js';
import { chosenNamespace, tools } from './tools/index.js';

const [name = 'identify'] = positionals;
const tool = tools[name];
if (tool === undefined) throw new RangeError(`Expected one of ${Object.keys(tools).join(', ')} but received '${name}'`);
const completion = (values.completion ??
  (name === 'perf' || name === 'verify' ? 'polling' : 'interrupts')) as ControllerOptions['completion'];

const kernel = values.real === undefined ? new Machine({ devices: [{ model: new Nvme() }] }).kernel : native();
using opened = openDevice(kernel, values.real ?? '0000:00:03.0');
await using controller = await Controller.open(opened, { completion: completion!, shadowDoorbells: !values['real-doorbells'] });
await tool({ opened, controller, namespace: chosenNamespace(controller) });
