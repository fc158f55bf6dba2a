/** What the tools print. */
import type { Controller } from '../controller.js';
import type { PerfOptions, PerfResult } from './perf.js';
import type { VerifyResult } from './verify.js';

export function reportIdentity(controller: Controller): void {
  const { model, serial, firmware, mostBytes } = controller;
  console.table({ model, serial, firmware, 'bytes of a command': mostBytes, 'places in a queue': controller.io.queue.depth });
  console.table(
    controller.namespaces.map(({ id, blocks, blockSize, metadataSize }) => ({
      namespace: id,
      blocks,
      'bytes of a block': blockSize,
      'of metadata': metadataSize,
      MB: Number(((Number(blocks) * blockSize) / 1e6).toFixed(1)),
    })),
  );
}

const shares = [0.5, 0.9, 0.99, 0.999];

/** A table and a histogram; or all of it in one line of JSON, latencies in microseconds. */
export function reportPerf(options: PerfOptions, { operations, seconds, latencies }: PerfResult, completion: string, json: boolean): void {
  const iops = operations / seconds;
  const bytesPerSecond = iops * options.size;
  const percentiles = Object.fromEntries(shares.map((share) => [`p${share * 100}`, Number(latencies.percentile(share).toFixed(1))]));
  if (json) {
    const { kind, random, depth, size } = options;
    console.log(JSON.stringify({ kind, random, depth, size, completion, operations, seconds, iops, bytesPerSecond, ...percentiles }));
    return;
  }
  console.table({
    'operations a second': Math.round(iops),
    'MB a second': Number((bytesPerSecond / 1e6).toFixed(1)),
    ...Object.fromEntries(Object.entries(percentiles).map(([name, value]) => [`${name}, µs`, value])),
  });
  console.log(latencies.histogram());
}

export function reportVerify(result: VerifyResult, json: boolean): void {
  if (json) console.log(JSON.stringify(result));
  else console.table({ ...result, seconds: Number(result.seconds.toFixed(1)) });
}
