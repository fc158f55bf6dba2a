/**
 * Calls the addon with what nobody should call it with, for so many minutes, under the sanitizers: `npm run fuzz -- --minutes 60`.
 * Each run of a few thousand calls is a process of its own, from a seed of its own; `--seed N --minutes 0` repeats one, as far as
 * threads and the collection of garbage do the same again. Ends with what each function was called and answered.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { add, run } from './run.mjs';

const options = {
  minutes: { type: 'string', default: '1' },
  seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
  calls: { type: 'string', default: '20000' },
  /** Opens the edu that is there as well, by its node or its group, and asks it what its file takes: in a guest of the lab. */
  device: { type: 'string' },
};
const { values } = parseArgs({ options });
const [minutes, seed, calls] = [values.minutes, values.seed, values.calls].map(Number);
if (![minutes, seed, calls].every((number) => number >= 0)) {
  console.error('Expected numbers for --minutes, --seed and --calls');
  process.exit(2);
}

const addonPath = join(import.meta.dirname, '../../build-sanitize/Release/vfio.node');
if (!existsSync(addonPath)) {
  console.error(`There is no ${addonPath}: npm run build:sanitize makes it`);
  process.exit(2);
}
// The sanitizers have to be loaded before anything else is.
process.env.LD_PRELOAD = execFileSync('c++', ['-print-file-name=libasan.so'], {
  encoding: 'utf8',
  env: { ...process.env, LD_PRELOAD: '' },
}).trim();
process.env.ASAN_OPTIONS = 'detect_leaks=0';
process.env.UBSAN_OPTIONS = 'print_stacktrace=1';

const total = { functions: {}, callbacks: 0, threads: 0 };
const findings = [];
const begun = Date.now();
let runs = 0;
do {
  const { counts, finding } = run({ addonPath, seed: seed + runs, calls, device: values.device });
  runs += 1;
  if (counts !== undefined) add(total, counts);
  else {
    findings.push(finding);
    console.log(finding);
  }
} while (Date.now() - begun < minutes * 60_000);

console.table(total.functions);
const rows = Object.entries(total.functions);
const made = rows.reduce((sum, [, counts]) => sum + counts.calls, 0);
const never = rows.filter(([, { results }]) => results === 0).map(([name]) => name);
const spent = ((Date.now() - begun) / 60_000).toFixed(1);
console.log(`${made} calls of ${rows.length} functions in ${runs} runs, seeds from ${seed}, and ${spent} minutes;`);
console.log(`${total.callbacks} callbacks, ${total.threads} threads; ${findings.length} findings`);
if (never.length > 0) console.log(`Without a result: ${never.join(', ')}`);
process.exitCode = findings.length > 0 || never.length > 0 ? 1 : 0;
