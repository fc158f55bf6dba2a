/** What can be done with a drive, by name. */
import { statSync } from 'node:fs';
import type { OpenDevice } from 'vfio';
import { checkedInteger } from '../checks.js';
import type { Controller } from '../controller.js';
import { pageSize } from '../layout.js';
import type { Namespace } from '../namespace.js';
import { block, needed, number, values } from './options.js';
import { perf, type PerfOptions } from './perf.js';
import { withProgress } from './progress.js';
import { reportIdentity, reportPerf, reportVerify } from './report.js';
import { readToFile, writeFromFile } from './transfer.js';
import { verify } from './verify.js';

export interface Drive {
  readonly opened: OpenDevice;
  readonly controller: Controller;
  readonly namespace: Namespace;
}

export const tools: Readonly<Record<string, (drive: Drive) => Promise<void>>> = {
  async identify({ controller }) {
    reportIdentity(controller);
  },

  async read({ opened: { dma }, namespace }) {
    const range = { block: block('block'), count: number('count'), path: needed('to') };
    await withProgress('Reading', range.count, (progress) => readToFile(namespace, dma, range, progress));
  },

  async write({ opened: { dma }, namespace }) {
    const range = { block: block('block'), path: needed('from'), pad: values.pad };
    const blocks = Math.ceil(statSync(range.path).size / namespace.blockSize);
    await withProgress('Writing', blocks, (progress) => writeFromFile(namespace, dma, range, progress));
    await namespace.flush();
  },

  async flush({ namespace }) {
    await namespace.flush();
  },

  async deallocate({ opened: { dma }, namespace }) {
    const [first, count] = [block('block'), number('count')];
    using list = dma.allocate(pageSize);
    await namespace.deallocate(first, count, list);
  },

  async perf({ opened: { dma }, controller, namespace }) {
    const { write, mixed, random, json } = values;
    if (write && mixed) throw new RangeError('Expected --write or --mixed, not both');
    const kind = write ? 'write' : mixed ? 'mixed' : 'read';
    const options: PerfOptions = { kind, random, depth: number('depth'), size: number('size'), seconds: number('seconds') };
    reportPerf(options, await perf(controller, namespace, dma, options), controller.completion, json);
  },

  async verify({ opened: { dma }, controller, namespace }) {
    const options = { operations: number('operations'), depth: number('depth'), seed: number('seed') };
    const limit = values.blocks === undefined ? {} : { blocks: number('blocks') };
    reportVerify(await verify(controller, namespace, dma, { ...options, ...limit }), values.json);
  },
};

/** The namespace that was asked for, or the first. */
export function chosenNamespace({ namespaces }: Controller): Namespace {
  const id = values.namespace === undefined ? undefined : checkedInteger('--namespace', number('namespace'), 1, 0xffff_fffe);
  const namespace = namespaces.find((each) => id === undefined || each.id === id);
  if (namespace === undefined) throw new RangeError(`The controller has no namespace${id === undefined ? '' : ` ${id}`}`);
  return namespace;
}
