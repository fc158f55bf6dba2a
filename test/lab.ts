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
import { bundle, bundledProgram, bundledSuite } from './support/bundle.js';
import { joinTranscripts } from './support/join-transcripts.js';
import { examples, machinesOf, type SuiteRun } from './support/lab-machines.js';
import { goldenFolder, root } from './support/root.js';

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

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly testResults: readonly { readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[] }[];
}

let passed = 0;
let failed = 0;
const skipped: string[] = [];

function count(name: string, ok: boolean): void {
  console.log(`${ok ? 'passed' : 'FAILED'}: ${name}`);
  if (ok) passed += 1;
  else failed += 1;
}

/** Adds a vitest report. One that is missing or empty is a failure: the tests did not run. */
function add(name: string, file: string, status: number | null): void {
  if (!existsSync(file)) return count(`${name}: no tests ran (status ${status})`, false);
  const report = JSON.parse(readFileSync(file, 'utf8')) as Report;
  passed += report.numPassedTests;
  failed += report.numFailedTests;
  skipped.push(
    ...report.testResults
      .flatMap((result) => result.assertionResults)
      .filter((test) => test.status !== 'passed' && test.status !== 'failed')
      .map((test) => test.fullName),
  );
  console.log(`${name}: ${report.numPassedTests} passed, ${report.numFailedTests} failed`);
  if (report.numPassedTests + report.numFailedTests === 0 || (status !== 0 && report.numFailedTests === 0))
    count(`${name}: ended with status ${status}`, false);
}

/** Adds what a differential run found. One that did not come to its end is a failure. */
function addDifferences(name: string, file: string): void {
  const { calls, found } = existsSync(file)
    ? (JSON.parse(readFileSync(file, 'utf8')) as { readonly calls: number; readonly found: readonly unknown[] })
    : { calls: 0, found: [] };
  count(
    `${name}: the simulated kernel answers ${calls} generated calls as the real one does`,
    calls >= generatedCalls && found.length === 0,
  );
}

/** What was recorded of an example on a real kernel is all that it needs here, without one. */
function replayTrace(title: string, file: string, wanted: string | undefined): void {
  const { status, stdout, stderr } = spawnSync('node', [vfio, 'replay', file, '--', ...tracedExample.split(' ')], {
    cwd: root,
    encoding: 'utf8',
  });
  const same = status === 0 && stdout === wanted;
  count(`the example edu, recorded on ${title}, runs here against the recording`, same);
  if (!same) console.log(`It ended with ${status} and printed:\n${stdout}${stderr}`);
  if (record && existsSync(file)) cpSync(file, join(goldenFolder, 'recordings/edu.ndjson'));
}

/** The folders that hold what was said to a kernel, of each version. */
const recordedTranscripts = (): string[] => readdirSync(goldenFolder).map((version) => join(goldenFolder, version, 'transcripts'));

const work = mkdtempSync(join(tmpdir(), 'vfio-lab-results-'));
// What is recorded takes the place of all that was: suites may have gone, or got another name.
if (record && only === '') for (const folder of recordedTranscripts()) rmSync(folder, { recursive: true, force: true });
try {
  await bundle();
  const simulatedLines = new Map(
    examples.map((example) => [example, execFileSync('sh', ['-c', command(example)], { cwd: root, encoding: 'utf8' })]),
  );
  for (const example of examples) {
    const [name = ''] = example.split(' ');
    count(
      `the example ${example} prints what ${name} does, on the simulated kernel`,
      simulatedLines.get(example) === simulatedLines.get(name),
    );
  }
  // The variants of a kernel in one go, as the second then takes little.
  for (const kernel of kernels) execFileSync('node', [...lab, '--kernel', kernel, '--prepare'], { stdio: 'inherit' });
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
  add('headers of the lab kernels', report, headerRun.status);

  for (const machine of machines) {
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
    const { status } = spawnSync(
      'node',
      [
        ...[...lab, '--kernel', kernel, '--variant', variant, '--iommu', iommu],
        ...['--output', output, '--timeout', '900'],
        ...['--kernel-argument', 'vfio_pci.enable_sriov=1'],
        ...machine.options,
        ...machine.devices.flatMap((device) => ['--device', device]),
        ...['sh', '-c', script],
      ],
      {
        cwd: root,
        stdio: ['ignore', 'inherit', 'inherit'],
        env: { ...process.env, ...(record && { VFIO_RECORD: join(output, 'golden') }) },
      },
    );
    for (const [index, { what = '' }] of runs.entries()) {
      const ended = join(output, `${index}.status`);
      add(`${title}${what}`, join(output, `${index}.json`), existsSync(ended) ? Number(readFileSync(ended, 'utf8')) : status);
    }
    // What the kernel complained of, while whatever ran.
    if (status !== 0) count(`${title}: the guest ended with status ${status}`, false);
    if (machine.compares) addDifferences(title, join(output, 'differential.json'));
    for (const each of machine.examples) {
      const file = join(output, fileOf(each));
      const lines = existsSync(file) ? readFileSync(file, 'utf8') : '';
      const same = lines === simulatedLines.get(each);
      count(`the example ${each} prints the same lines on ${title} as on the simulated kernel`, same);
      if (!same) console.log(`It printed:\n${lines}`);
    }
    if (machine.traces) replayTrace(title, join(output, 'edu.ndjson'), simulatedLines.get('edu'));
    if (record && existsSync(join(output, 'golden'))) cpSync(join(output, 'golden'), goldenFolder, { recursive: true });
  }
  if (record) for (const folder of recordedTranscripts()) joinTranscripts(folder);
} finally {
  rmSync(work, { recursive: true, force: true });
}

console.log(skipped.length === 0 ? 'Nothing was skipped.' : `Skipped:\n  ${skipped.join('\n  ')}`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
