/**
 * The conformance suite and the example on real kernels, each machine in a guest of its own, and the declarations
 * against those kernels' headers. Ends with what was skipped, by name, and the line `N passed, N failed`.
 *
 *   npm run test:lab                        all machines
 *   npm run test:lab -- --record            and take the kernels' answers as the new golden ones
 *   npm run test:lab -- --only '6.12 amd'   machines of that kernel with that IOMMU; or one, '6.12 amd host-drivers'
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bundle, bundledProgram, bundledSuite } from './support/bundle.js';
import { joinTranscripts } from './support/join-transcripts.js';
import { goldenFolder, root } from './support/root.js';
import { wiredCards } from './support/wired-cards.js';

const lab = [join(root, 'dist/cli/vfio.cjs'), 'lab'];
/** System calls that are made up and compared on each machine. */
const generatedCalls = 3000;
const {
  values: { record, only },
} = parseArgs({ options: { record: { type: 'boolean', default: false }, only: { type: 'string', default: '' } } });

const [onlyKernel, onlyIommu, onlyVariant] = only.split(' ');
const kernels = ['6.1', '6.12', 'newest'].filter((kernel) => (onlyKernel || kernel) === kernel);
/** Without /dev/iommu: fewer machines, and of the examples those that it is enough for. */
const withoutIommufd = '6.1';
/**
 * The examples, and each way of opening the device, by itself its node; what the simulated kernel prints of the first of a
 * name is what all do.
 */
const translated = ['edu', 'migration', 'edu --by group', 'edu --by compatibility'];
/** Without an IOMMU edu has physical addresses: those of a page, or of huge pages with the group. */
const untranslated = ['edu --unsafe-no-iommu --dma-bits 48', 'edu --unsafe-no-iommu --dma-bits 48 --by group'];
const examples = [...translated, ...untranslated];
const machines = [
  ...kernels.flatMap((kernel) =>
    ['intel', 'amd', ...(kernel === withoutIommufd ? [] : ['virtio']), 'none'].map((iommu) => ({ kernel, iommu, variant: 'default' })),
  ),
  // Kernels that were built without VFIO's own container: what reaches devices through one runs on iommufd's.
  ...kernels.filter((kernel) => kernel !== withoutIommufd).map((kernel) => ({ kernel, iommu: 'intel', variant: 'iommufd-container' })),
  // Kernels that have drivers of their own for a drive and for network cards: what is written and sent is met by those.
  ...kernels
    .filter((kernel) => kernel !== withoutIommufd)
    .flatMap((kernel) => ['intel', 'amd'].map((iommu) => ({ kernel, iommu, variant: 'host-drivers' }))),
].filter(({ iommu, variant }) => (onlyIommu ?? iommu) === iommu && (onlyVariant ?? variant) === variant);
/**
 * An edu alone; one behind a bridge that shares its group with a device of a host driver; an e1000e behind a port, of a
 * speed at which the kernel does not wait for QEMU's link after a reset.
 */
const bridged = [
  ...['edu', 'pcie-pci-bridge,id=bridge', 'edu,bus=bridge,addr=1', 'virtio-rng-pci,bus=bridge,addr=2'],
  ...['pcie-root-port,id=express,slot=9,x-speed=5', 'e1000e,bus=express'],
];
/**
 * And, where those are tried, an nvme with a disk, one with virtual functions, two more e1000e with a cable between
 * them, and a display.
 */
const complete = [
  ...bridged,
  'nvme,serial=lab',
  ...['pcie-root-port,id=physical,slot=10', 'nvme-subsys,id=subsystem'],
  'nvme,serial=physical,subsys=subsystem,bus=physical,sriov_max_vfs=2,sriov_vq_flexible=4,sriov_vi_flexible=2,max_ioqpairs=6,msix_qsize=5',
  ...wiredCards,
  'VGA',
];
/**
 * What the drivers among the examples are for: a drive, and two cards with a cable between them. QEMU's AMD IOMMU takes what a
 * device behind a port does in memory for that of another, on bus 0: there, cards have no port.
 */
const driven = (iommu: string): string[] => [
  'nvme,serial=lab',
  ...(iommu === 'amd'
    ? wiredCards.filter((device) => device.startsWith('e1000e')).map((card) => card.replace(/bus=\w+,/, ''))
    : wiredCards),
];
/** Without an IOMMU a device is given physical addresses, which its usual 28 bits do not reach. */
const farReaching = Array<string>(2).fill('edu,dma_mask=0xffffffffffff');
/** Newer kernels give no device of a virtio-iommu a group when one behind a bridge cannot have one. */
const devicesOf = (iommu: string, variant: string): string[] =>
  variant === 'host-drivers' ? driven(iommu) : ({ virtio: ['edu'], none: farReaching, intel: complete }[iommu] ?? bridged);
/** Those that run on a machine: on virtio-iommu a device does not open, with EPERM, which is what is tested there. */
const examplesOn = (kernel: string, iommu: string, variant: string): readonly string[] => {
  if (variant === 'host-drivers') return [];
  const all: readonly string[] = { virtio: [], none: untranslated }[iommu] ?? translated;
  return kernel === withoutIommufd ? all.filter((example) => !/migration|compatibility/.test(example)) : all;
};
const command = (example: string): string => example.replace(/^\w+/, (name) => bundledProgram(name as 'edu' | 'migration'));
const fileOf = (example: string): string => `${example.replaceAll(/\W+/g, '-')}.txt`;
const reserveHugePages = 'echo 8 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages; ';
/** Which of the conformance suites a machine is for. Each file loads no more than it needs: in a guest that takes a minute. */
const suitesOn = (iommu: string, variant: string): string =>
  variant === 'host-drivers' ? 'hardware' : ({ virtio: 'unsafe-interrupts', none: 'no-iommu' }[iommu] ?? 'conformance');
/** What takes the capability from a command that a kernel asks for: by IOMMU, where there is a suite for it. */
const unprivileged: Readonly<Record<string, { readonly lacking: string; readonly prefix: string; readonly suites: string }>> = {
  none: { lacking: 'CAP_SYS_RAWIO', prefix: 'setpriv --bounding-set=-sys_rawio --inh-caps=-sys_rawio', suites: 'no-iommu' },
  intel: { lacking: 'CAP_IPC_LOCK', prefix: 'ulimit -l 256; setpriv --bounding-set=-ipc_lock --inh-caps=-ipc_lock', suites: 'limited' },
};

const special: Readonly<Record<string, string>> = {
  'iommufd-container': ', container by iommufd',
  'host-drivers': ', drivers of its own',
};

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

  for (const { kernel, iommu, variant } of machines) {
    const ordinary = variant === 'default';
    const compares = ordinary && kernel !== withoutIommufd;
    const name = `Linux ${kernel}, ${iommu}${special[variant] ?? ''}`;
    const output = join(work, `${kernel}-${iommu}-${variant}`);
    const guest = (...command: string[]): ReturnType<typeof spawnSync> =>
      spawnSync(
        'node',
        [
          ...lab,
          '--kernel',
          kernel,
          '--variant',
          variant,
          '--iommu',
          iommu,
          '--output',
          output,
          ...['--timeout', '900'],
          ...['--kernel-argument', 'vfio_pci.enable_sriov=1'],
          ...devicesOf(iommu, variant).flatMap((device) => ['--device', device]),
          ...command,
        ],
        {
          cwd: root,
          stdio: ['ignore', 'inherit', 'inherit'],
          env: { ...process.env, ...(record && { VFIO_RECORD: join(output, 'golden') }) },
        },
      );
    const tests = (suites: string, file: string): string =>
      `${bundledSuite(suites)} --reporter=default --reporter=json --outputFile.json=${output}/${file}`;
    // First, as the registers of a device that nobody used are what both kernels begin with.
    const differences = compares
      ? `${bundledProgram('differential')} --calls ${generatedCalls} --report ${output}/differential.json; `
      : '';
    const runExamples =
      differences +
      reserveHugePages +
      examplesOn(kernel, iommu, variant)
        .map((each) => `${command(each)} --real > ${output}/${fileOf(each)}; `)
        .join('');
    const lesser = ordinary && kernel !== withoutIommufd ? unprivileged[iommu] : undefined;
    const again = lesser === undefined ? '' : `; first=$?; ${lesser.prefix} ${tests(lesser.suites, 'unprivileged.json')} && exit $first`;
    const { status } = guest('sh', '-c', `${runExamples}${tests(suitesOn(iommu, variant), 'report.json')}${again}`);
    add(name, join(output, 'report.json'), status);
    if (compares) addDifferences(name, join(output, 'differential.json'));
    if (lesser !== undefined) add(`${name}, without ${lesser.lacking}`, join(output, 'unprivileged.json'), status);
    for (const each of examplesOn(kernel, iommu, variant)) {
      const file = join(output, fileOf(each));
      const lines = existsSync(file) ? readFileSync(file, 'utf8') : '';
      const same = lines === simulatedLines.get(each);
      count(`the example ${each} prints the same lines on ${name} as on the simulated kernel`, same);
      if (!same) console.log(`It printed:\n${lines}`);
    }
    if (record && existsSync(join(output, 'golden'))) cpSync(join(output, 'golden'), goldenFolder, { recursive: true });
  }
  if (record) for (const folder of recordedTranscripts()) joinTranscripts(folder);
} finally {
  rmSync(work, { recursive: true, force: true });
}

console.log(skipped.length === 0 ? 'Nothing was skipped.' : `Skipped:\n  ${skipped.join('\n  ')}`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
