import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { addonPath } from './support.js';

it('workers that are terminated while they load the addon do not end the process', () => {
  const load = `
    const { parentPort } = require('node:worker_threads');
    parentPort.postMessage(0);
    for (;;) { require(${JSON.stringify(addonPath)}); delete require.cache[${JSON.stringify(addonPath)}]; }`;
  const program = `
    const { Worker } = require('node:worker_threads');
    (async () => {
      const end = Date.now() + 4000;
      while (Date.now() < end) {
        const worker = new Worker(${JSON.stringify(load)}, { eval: true });
        await new Promise((resolve) => worker.once('message', resolve));
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 4));
        await worker.terminate();
      }
      console.log('alive');
    })();`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['-e', program], { encoding: 'utf8' });
  expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: 'alive\n', stderr: '' });
});
