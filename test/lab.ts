/**
 * The conformance suite and the example on real kernels, each machine in a guest of its own, and the declarations
 * against those kernels' headers. Ends with what was skipped, by name, and the line `N passed, N failed`.
 *
 *   npm run test:lab                        all machines
 *   npm run test:lab -- --record            and take the kernels' answers as the new golden ones
 *   npm run test:lab -- --only '6.12 amd'   machines of that kernel with that IOMMU; or one, '6.12 amd host-drivers', '6.12 intel doctor'
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { emulatorFailed } from '../lib/lab/guest.js';
import { bundle, bundledProgram, bundledSuite } from './support/bundle.js';
import { atOnce, guestsAtOnce, run } from './support/at-once.js';
import { joinTranscripts } from './support/join-transcripts.js';
import { examples, machinesOf, type LabMachine, type SuiteRun } from './support/lab-machines.js';
import { goldenFolder, root } from './support/root.js';
import { Tally } from './support/tally.js';

const vfio = join(root, 'dist/cli/vfio.cjs');
const lab = [vfio, 'lab'];
/** System calls that are made up and compared on each machine. */
const generatedCalls = 3000;
const {
  values: { record, only },
} = parseArgs({ options: { record: { type: 'boolean', default: false }, only: { type: 'string', default: '' } } });

const { kernels, machines } = machinesOf(only);
const command = (example: string): string => example.replace(/^\w+/, (name) => bundledProgram(name as 'edu' | 'migration'));
/** What is recorded on a real kernel, and replayed here. */
const tracedExample = `${bundledProgram('edu')} --real`;
const fileOf = (example: string): string => `${example.replaceAll(/\W+/g, '-')}.txt`;
const reserveHugePages = 'echo 8 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages; ';

/** Ends what runs when this program is asked to end. */
const ending = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ending.abort());

const total = new Tally();
const print = (tally: Tally): void => void process.stdout.write(tally.take());

/** Adds what a differential run found. One that did not come to its end is a failure. */
function addDifferences(tally: Tally, name: string, file: string): void {
  const { calls, found } = existsSync(file)
    ? (JSON.parse(readFileSync(file, 'utf8')) as { readonly calls: number; readonly found: readonly unknown[] })
    : { calls: 0, found: [] };
  tally.count(
    `${name}: the simulated kernel answers ${calls} generated calls as the real one does`,
    calls >= generatedCalls && found.length === 0,
  );
}

/** What was recorded of an example on a real kernel is all that it needs here, without one. */
function replayTrace(tally: Tally, title: string, file: string, wanted: string | undefined): void {
  const { status, stdout, stderr } = spawnSync('node', [vfio, 'replay', file, '--', ...tracedExample.split(' ')], {
    cwd: root,
    encoding: 'utf8',
  });
  const same = status === 0 && stdout === wanted;
  tally.count(`the example edu, recorded on ${title}, runs here against the recording`, same);
  if (!same) tally.say(`It ended with ${status} and printed:\n${stdout}${stderr}`);
  if (record && existsSync(file)) cpSync(file, join(goldenFolder, 'recordings/edu.ndjson'));
}

/** The folders that hold what was said to a kernel, of each version. */
const recordedTranscripts = (): string[] => readdirSync(goldenFolder).map((version) => join(goldenFolder, version, 'transcripts'));

const work = mkdtempSync(join(tmpdir(), 'vfio-lab-results-'));

/** Runs all that there is for a machine in a guest, and counts what came of it. */
async function runMachine(machine: LabMachine, simulatedLines: ReadonlyMap<string, string>, again = false): Promise<Tally> {
  const tally = new Tally();
  const { kernel, iommu, variant, title, runs } = machine;
  const output = join(work, title.replaceAll(/[ ,.]+/g, '-'));
  const suite = ({ suite, prefix = '' }: SuiteRun, index: number): string =>
    `( ${prefix}${bundledSuite(suite)} --reporter=default --reporter=json --outputFile.json=${output}/${index}.json ); ` +
    `echo $? > ${output}/${index}.status; `;
  const script = [
    // First, as the registers of a device that nobody used are what both kernels begin with.
    machine.compares ? `${bundledProgram('differential')} --calls ${generatedCalls} --report ${output}/differential.json; ` : '',
    machine.hugePages ? reserveHugePages : '',
    ...machine.examples.map((each) => `${command(each)} --real > ${output}/${fileOf(each)}; `),
    machine.traces ? `node ${vfio} trace --quiet --out ${output}/edu.ndjson -- ${tracedExample}; ` : '',
    ...runs.map(suite),
  ].join('');
  const status = await run(
    'node',
    [
      ...[...lab, '--kernel', kernel, '--variant', variant, '--iommu', iommu],
      ...['--output', output, '--timeout', '1800'],
      ...['--kernel-argument', 'vfio_pci.enable_sriov=1'],
      ...machine.options,
      ...machine.devices.flatMap((device) => ['--device', device]),
      ...['sh', '-c', script],
    ],
    { cwd: root, signal: ending.signal, env: { ...process.env, ...(record && { VFIO_RECORD: join(output, 'golden') }) } },
    (text) => tally.print(text),
  );
  if (status === emulatorFailed && !again) {
    console.log(`${title}: the emulator failed, which says nothing of what it ran; once more, from the beginning.`);
    rmSync(output, { recursive: true, force: true });
    return runMachine(machine, simulatedLines, true);
  }
  for (const [index, { what = '' }] of runs.entries()) {
    const ended = join(output, `${index}.status`);
    tally.addReport(`${title}${what}`, join(output, `${index}.json`), existsSync(ended) ? Number(readFileSync(ended, 'utf8')) : status);
  }
  // What the kernel complained of, while whatever ran.
  if (status !== 0) tally.count(`${title}: the guest ended with status ${status}`, false);
  if (machine.compares) addDifferences(tally, title, join(output, 'differential.json'));
  for (const each of machine.examples) {
    const file = join(output, fileOf(each));
    const lines = existsSync(file) ? readFileSync(file, 'utf8') : '';
    const same = lines === simulatedLines.get(each);
    tally.count(`the example ${each} prints the same lines on ${title} as on the simulated kernel`, same);
    if (!same) tally.say(`It printed:\n${lines}`);
  }
  if (machine.traces) replayTrace(tally, title, join(output, 'edu.ndjson'), simulatedLines.get('edu'));
  if (record && existsSync(join(output, 'golden'))) cpSync(join(output, 'golden'), goldenFolder, { recursive: true });
  return tally;
}

// What is recorded takes the place of all that was: suites may have gone, or got another name.
if (record && only === '') for (const folder of recordedTranscripts()) rmSync(folder, { recursive: true, force: true });
try {
  await bundle();
  const simulatedLines = new Map(
    examples.map((example) => [example, execFileSync('sh', ['-c', command(example)], { cwd: root, encoding: 'utf8' })]),
  );
  for (const example of examples) {
    const [name = ''] = example.split(' ');
    total.count(
      `the example ${example} prints what ${name} does, on the simulated kernel`,
      simulatedLines.get(example) === simulatedLines.get(name),
    );
  }
  // The variants of a kernel in one go, as the second then takes little.
  for (const kernel of kernels) {
    const status = await run('node', [...lab, '--kernel', kernel, '--prepare'], { signal: ending.signal }, (text) => {
      process.stdout.write(text);
    });
    if (status !== 0) throw new Error(`Linux ${kernel} could not be built: vfio lab --prepare ended with ${status}`);
  }
  const headers = kernels.map((kernel) =>
    execFileSync('node', [...lab, '--kernel', kernel, '--print-headers'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    }).trim(),
  );
  const report = join(work, 'headers.json');
  const headerRun = spawnSync(
    'node_modules/.bin/vitest',
    ['run', 'test/abi/headers.test.ts', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`],
    {
      cwd: root,
      stdio: 'inherit',
      env: { ...process.env, VFIO_HEADERS: headers.join(':') },
    },
  );
  total.addReport('headers of the lab kernels', report, headerRun.status);
  print(total);

  await atOnce(guestsAtOnce, machines, async (machine) => {
    if (ending.signal.aborted) return;
    console.log(`${machine.title} begins.`);
    const tally = await runMachine(machine, simulatedLines);
    if (ending.signal.aborted) return;
    print(tally);
    total.add(tally);
  });
  if (record) for (const folder of recordedTranscripts()) joinTranscripts(folder);
} finally {
  rmSync(work, { recursive: true, force: true });
}

const { passed, failed, skipped } = total;
if (!ending.signal.aborted) {
  console.log(skipped.length === 0 ? 'Nothing was skipped.' : `Skipped:\n  ${skipped.join('\n  ')}`);
  console.log(`${passed} passed, ${failed} failed`);
}
process.exitCode = failed === 0 && !ending.signal.aborted ? 0 : 1;
