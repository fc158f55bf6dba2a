// Two threads, each with a kernel of its own, and a process.
import { execFileSync } from 'node:child_process';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { native } from 'vfio';

const look = (path) => native().files.access(path);
if (process.argv.includes('child')) look('/sys/class');
else if (!isMainThread) look(workerData);
else {
  console.log(look('/sys'));
  for (const path of ['/sys/bus', '/sys/bus/pci'])
    await new Promise((resolve) => new Worker(new URL(import.meta.url), { workerData: path }).on('exit', resolve));
  execFileSync(process.execPath, [process.argv[1], 'child'], { stdio: 'inherit' });
}
