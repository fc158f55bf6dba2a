/**
 * The example drivers beside C on the same emulated devices, in the same guest and on one of its processors: frames beside DPDK's
 * testpmd (`apt-get install dpdk-dev librte-net-e1000-23 librte-mempool-ring23`), a drive beside the kernel's own driver as fio
 * has it (`apt-get install fio`). Each has the devices to itself, in turn, several times over; a figure is the median.
 *
 *   npm run bench -- drivers
 *   npx tsx bench/drivers.ts --kernel newest
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bundleMeasured } from '../test/support/bundle.js';
import { root } from '../test/support/root.js';
import { report } from './report.js';

const { values } = parseArgs({
  options: {
    kernel: { type: 'string', default: '6.12' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '6' },
  },
});
const rounds = Array.from({ length: Number(values.rounds) }, (_, round) => round + 1);

const packages = { 'dpdk-testpmd': 'dpdk-dev librte-net-e1000-23 librte-mempool-ring23', fio: 'fio' };
for (const [program, debian] of Object.entries(packages))
  if (!existsSync(`/usr/bin/${program}`)) throw new Error(`There is no ${program} to compare with: apt-get install ${debian}`);

const devices = [
  'nvme,serial=bench',
  ...['left', 'right'].flatMap((end, index) => [
    `pcie-root-port,id=${end},slot=${11 + index},x-speed=5`,
    `e1000e,bus=${end},hub=0,mac=52:54:00:00:00:0${index + 1}`,
  ]),
];
const modes = ['txonly', 'rxonly', 'io'];
const workloads = ['randread', 'randwrite', 'read'];

const program = await bundleMeasured({ frames: 'bench/guest/frames.ts', drive: 'bench/guest/drive.ts' });
const output = mkdtempSync(join(tmpdir(), 'vfio-bench-'));
// testpmd's own thread sleeps; that which forwards is on the same processor. What is sent to those that receive comes from the other.
const script = `
  export TMPDIR=/tmp seconds=${values.seconds} out=${output}
  echo 256 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
  pci() { grep -l $1 /sys/bus/pci/devices/*/device | xargs -n1 dirname | xargs -n1 basename | sort; }
  drive=$(pci 0x0010) left=$(pci 0x10d3 | head -1) right=$(pci 0x10d3 | tail -1)
  bind() { echo $1 > /sys/bus/pci/devices/$2/driver_override; echo $2 > /sys/bus/pci/devices/$2/driver/unbind; echo $2 > /sys/bus/pci/drivers_probe; }
  testpmd() { cpu=$1 time=$2; shift 2; timeout -s INT $time dpdk-testpmd --lcores 0@$cpu,1@$cpu --in-memory --no-telemetry "$@" --stats-period 1 --auto-start --nb-cores=1 --txpkts=60 --total-num-mbufs=8192 < /dev/null; }
  sender() { testpmd 1 $((seconds + $1)) -a $right -- --forward-mode=txonly > /dev/null 2>&1 & sleep $2; }
  for round in ${rounds.join(' ')}; do
    testpmd 0 $((seconds + 6)) -a $left -- --forward-mode=txonly > $out/c-txonly-$round 2>&1
    taskset -c 0 ${program.frames} txonly $seconds $left > $out/ours-txonly-$round
    testpmd 0 $((seconds + 6)) -a $left -a $right -- --forward-mode=io --tx-first > $out/c-io-$round 2>&1
    taskset -c 0 ${program.frames} io $seconds $left $right > $out/ours-io-$round
    sender 12 4; testpmd 0 $((seconds + 6)) -a $left -- --forward-mode=rxonly > $out/c-rxonly-$round 2>&1; wait
    sender 16 4; taskset -c 0 ${program.frames} rxonly $seconds $left > $out/ours-rxonly-$round; wait
    for workload in ${workloads.join(' ')}; do taskset -c 0 ${program.drive} $workload $seconds $drive > $out/ours-$workload-$round; done
    bind nvme $drive; sleep 2
    for workload in ${workloads.join(' ')}; do
      for engine in io_uring libaio; do
        taskset -c 0 fio --name=$workload --filename=/dev/nvme0n1 --direct=1 --rw=$workload --bs=4k --iodepth=32 --ioengine=$engine --time_based --ramp_time=2 --runtime=$seconds --output-format=json --output=$out/$engine-$workload-$round > /dev/null
      done
    done
    bind vfio-pci $drive
  done`;

const median = (numbers: readonly number[]): number => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;
const read = (name: string): string => (existsSync(join(output, name)) ? readFileSync(join(output, name), 'utf8') : '');
/** Nanoseconds of one, from how many there were a second in each round. */
const each = (rate: (round: number) => number): number => 1e9 / median(rounds.map(rate));
const ours = (what: string): number => each((round) => Number(read(`ours-${what}-${round}`).split(' ')[1] ?? NaN));

/** What testpmd said of each second, of all ports; without the first and the last, which are no whole ones. */
function testpmd(mode: string): number {
  const way = mode === 'rxonly' ? 'Rx' : 'Tx';
  return each((round) => {
    const ports = new Map<string, number[]>();
    let port = '';
    for (const line of read(`c-${mode}-${round}`).split('\n')) {
      port = /statistics for port (\d+)/.exec(line)?.[1] ?? port;
      const rate = new RegExp(`${way}-pps:\\s+(\\d+)`).exec(line)?.[1];
      if (rate !== undefined) ports.set(port, [...(ports.get(port) ?? []), Number(rate)]);
    }
    return [...ports.values()].reduce((sum, rates) => sum + median(rates.slice(2, -1)), 0);
  });
}

function fio(engine: string, workload: string): number {
  return each((round) => {
    const text = read(`${engine}-${workload}-${round}`);
    const { jobs } = JSON.parse(text.slice(text.indexOf('{'))) as { jobs: readonly Record<'read' | 'write', { iops: number }>[] };
    return jobs[0]![workload.endsWith('write') ? 'write' : 'read'].iops;
  });
}

try {
  const lab = ['--kernel', values.kernel, '--variant', 'host-drivers', '--output', output, '--timeout', '1800'];
  execFileSync('node', [join(root, 'dist/lab/main.js'), ...lab, ...devices.flatMap((device) => ['--device', device]), 'sh', '-c', script], {
    stdio: 'inherit',
    cwd: root,
  });
  const where = `Linux ${values.kernel} on an emulated processor`;
  report({
    title: `A frame of 60 bytes through an 82574L, ${where}`,
    unit: 'nanoseconds',
    rows: Object.fromEntries(modes.map((mode) => [mode, { 'this package': ours(mode), testpmd: testpmd(mode) }])),
    floor: 'testpmd',
    aims: Object.fromEntries(modes.map((mode) => [mode, { times: 1 / 0.8 }])),
  });
  report({
    title: `4 KiB of an NVMe drive, 32 at a time, ${where}`,
    unit: 'nanoseconds',
    rows: Object.fromEntries(
      workloads.map((workload) => [
        workload,
        {
          'this package': ours(workload),
          "the kernel's driver, io_uring": fio('io_uring', workload),
          "the kernel's driver, libaio": fio('libaio', workload),
        },
      ]),
    ),
    floor: "the kernel's driver, io_uring",
    aims: Object.fromEntries(workloads.map((workload) => [workload, { times: 1 / 0.95 }])),
  });
} finally {
  rmSync(output, { recursive: true });
}
