/**
 * On a real kernel with an IOMMU, in one of the lab's guests: mappings that the IOMMU's tables have, registers and interrupts of
 * a device. C and this package each have the device to themselves, in turn, several times over, as the guest is noisy; each
 * figure is the median of its rounds. An emulated processor is not one that is slower: it runs what V8 compiled, and the calls
 * between JavaScript and C++, ten to thirty times as slowly as a real one, and a device's register answers in no time. So
 * what is beside C's here is the most that it costs, not what it costs on hardware.
 *
 *   npm run bench -- lab
 *   npx tsx bench/lab.ts --kernel newest
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bundleMeasured } from '../test/support/bundle.js';
import { root } from '../test/support/root.js';
import { compile, figuresOf } from './floor.js';
import { report } from './report.js';

const {
  values: { kernel },
} = parseArgs({ options: { kernel: { type: 'string', default: '6.12' } } });
const rounds = 3;
const lab = [join(root, 'dist/cli/main.js'), 'lab', '--kernel', kernel];

type Figures = ReadonlyMap<string, number>;

/** The median of each figure over the rounds. */
function medianOf(rounds: readonly Figures[]): Figures {
  const names = rounds[0]?.keys() ?? [];
  return new Map(
    [...names].map((name) => {
      const sorted = rounds.map((figures) => figures.get(name) ?? NaN).sort((a, b) => a - b);
      return [name, sorted[Math.floor(sorted.length / 2)] ?? NaN];
    }),
  );
}

/** What each of the programs found. */
async function inGuest(): Promise<{ readonly c: Figures; readonly ours: Figures; readonly koffi: Figures }> {
  const program = await bundleMeasured({ package: 'bench/guest/package.ts', koffi: 'bench/guest/koffi.ts' });
  const headers = execFileSync('node', [...lab, '--print-headers'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim();
  using floor = compile(readFileSync(join(root, 'bench/guest/floor.c'), 'utf8'), headers);
  const output = mkdtempSync(join(tmpdir(), 'vfio-bench-'));
  const script = `
    set -e
    # The program and the device's interrupts on one processor: another would have to be woken, which is the host's figure.
    taskset -pc 0 $$ > /dev/null
    echo 1 > /proc/irq/default_smp_affinity
    echo 2 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
    cd /sys/bus/pci/drivers/vfio-pci/0000:*
    address=$(basename $(pwd -P)) group=$(basename $(readlink iommu_group)) node=/dev/vfio/devices/$(ls vfio-dev)
    cd ${root}
    for round in $(seq ${rounds}); do
      ${floor.path} $address $group $node > ${output}/c-$round
      ${program.package} > ${output}/ours-$round
      ${program.koffi} > ${output}/koffi-$round
    done`;
  try {
    execFileSync('node', [...lab, '--output', output, '--timeout', '1800', 'sh', '-c', script], { stdio: 'inherit' });
    const of = (who: string): Figures =>
      medianOf(Array.from({ length: rounds }, (_, round) => figuresOf(readFileSync(join(output, `${who}-${round + 1}`), 'utf8'))));
    return { c: of('c'), ours: of('ours'), koffi: of('koffi') };
  } finally {
    rmSync(output, { recursive: true });
  }
}

const { c, ours, koffi } = await inGuest();
const where = `Linux ${kernel} on an emulated processor`;
report({
  title: `A system call that does nothing, ${where}`,
  unit: 'nanoseconds',
  rows: { 'close of no file': { 'this package': ours.get('close'), koffi: koffi.get('close'), C: c.get('close') } },
  floor: 'C',
  others: ['koffi'],
});
const spaces = ['type1', 'IOAS'].flatMap((kind) => ['one page', '2 MiB', '64 pages'].map((what) => `${kind}, ${what}`));
report({
  title: `MAP and UNMAP, ${where}`,
  unit: 'nanoseconds',
  rows: Object.fromEntries(spaces.map((name) => [name, { 'this package': ours.get(name), koffi: koffi.get(name), C: c.get(name) }])),
  floor: 'C',
  others: ['koffi'],
  aims: Object.fromEntries(spaces.map((name) => [name, { times: /pages/.test(name) ? 1.05 : 1.1 }])),
});

/** Accesses, and what C calls them. */
const accesses = {
  'config.read32': 'config',
  'mmio.read32': 'read32',
  'fastMmio.read32': 'read32',
  'mmio.write32': 'write32',
  'fastMmio.write32': 'write32',
  'mmio.readRange of 16': 'range16',
};
report({
  title: `An access to a device, ${where}`,
  unit: 'nanoseconds',
  rows: Object.fromEntries(Object.entries(accesses).map(([name, inC]) => [name, { 'this package': ours.get(name), C: c.get(inC) }])),
  floor: 'C',
  aims: Object.fromEntries(['mmio.read32', 'fastMmio.read32', 'mmio.write32', 'fastMmio.write32'].map((name) => [name, { times: 1.25 }])),
});

const microseconds = (figures: Figures, name: string): number => (figures.get(name) ?? NaN) / 1000;
const latencies = (figures: Figures, way: string): Record<string, number> => ({
  ...Object.fromEntries(['p10', 'median', 'p99'].map((share) => [share, microseconds(figures, `${way}, ${share}`)])),
  "C's median": microseconds(c, 'epoll, median'),
});
report({
  title: `From the write that has a device interrupt to who waits for it, ${where}`,
  unit: 'microseconds',
  rows: {
    'C, epoll': latencies(c, 'epoll'),
    ...Object.fromEntries(["on('signal')", 'wait()', 'poll()'].map((way) => [way, latencies(ours, way)])),
  },
  floor: "C's median",
  compared: 'median',
  aims: Object.fromEntries(["on('signal')", 'wait()', 'poll()'].map((way) => [way, { times: 2 }])),
});
