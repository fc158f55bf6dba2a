/** Runs each figure in a process of its own, so that none is compiled with another's habits. `npm run bench` */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = dirname(fileURLToPath(import.meta.url));
for (const figure of ['mmio.ts', 'mappings.ts', 'ioctl.ts', 'structs.ts', 'memory.ts', 'interrupts.ts']) {
  const { status } = spawnSync('npx', ['tsx', join(folder, figure)], { stdio: 'inherit' });
  if (status !== 0) process.exitCode = 1;
}
