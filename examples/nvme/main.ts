/**
 * An NVMe driver: the whole of it is in this folder.
 *
 *   npx tsx examples/nvme/main.ts identify                       on a simulated machine, anywhere
 *   npx tsx examples/nvme/main.ts identify --real 0000:01:00.0   a real one, which has vfio-pci as its driver
 *   npx tsx examples/nvme/main.ts --help                         what else it does
 */
import { native, openDevice } from 'vfio';
import { Machine, Nvme } from 'vfio/sim';
import { Controller, type ControllerOptions } from './controller.js';
import { positionals, usage, values } from './tools/options.js';
import { chosenNamespace, tools } from './tools/index.js';

if (values.help) console.log(usage.trim());
else await run();

async function run(): Promise<void> {
  const [name = 'identify'] = positionals;
  const tool = tools[name];
  if (tool === undefined) throw new RangeError(`Expected one of ${Object.keys(tools).join(', ')} but received '${name}'`);
  const completion = (values.completion ??
    (name === 'perf' || name === 'verify' ? 'polling' : 'interrupts')) as ControllerOptions['completion'];

  const kernel = values.real === undefined ? new Machine({ devices: [{ model: new Nvme() }] }).kernel : native();
  using opened = openDevice(kernel, values.real ?? '0000:00:03.0');
  await using controller = await Controller.open(opened, { completion: completion!, shadowDoorbells: !values['real-doorbells'] });
  await tool({ opened, controller, namespace: chosenNamespace(controller) });
}
