/**
 * The example drivers beside C on the same emulated devices, in the same guest and on one of its processors: frames beside DPDK's
 * testpmd (`apt-get install dpdk-dev librte-net-e1000-23 librte-mempool-ring23`), a drive beside the kernel's own driver as fio
 * has it (`apt-get install fio`); what is not installed is absent. Each has the devices to itself, in turn, several times over; a
 * figure is the median.
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
import { wiredCards } from '../test/support/wired-cards.js';
import { report } from './report.js';

const { values } = parseArgs({
  options: {
    kernel: { type: 'string', default: '6.12' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '6' },
  },
});
const rounds = Array.from({ length: Number(values.rounds) }, (_, round) => round + 1);

const isThere = (program: string): boolean => existsSync(`/usr/bin/${program}`);
const [hasTestpmd, hasFio] = ['dpdk-testpmd', 'fio'].map(isThere);

const devices = ['nvme,serial=bench', ...wiredCards];
const modes = ['txonly', 'rxonly', 'io'];
const workloads = ['randread', 'randwrite', 'read'];

const program = await bundleMeasured({ frames: 'bench/guest/frames.ts', drive: 'bench/guest/drive.ts' });
const output = mkdtempSync(join(tmpdir(), 'vfio-bench-'));
// What forwards is on the first processor. The other has testpmd's own thread, which sleeps, and what sends to those that receive.
const script = `
  seconds=${values.seconds} out=${output}
  echo 256 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
  pci() { grep -l $1 /sys/bus/pci/devices/*/device | xargs -n1 dirname | xargs -n1 basename | sort; }
  drive=$(pci 0x0010) left=$(pci 0x10d3 | head -1) right=$(pci 0x10d3 | tail -1)
  bind() { echo $1 > /sys/bus/pci/devices/$2/driver_override; echo $2 > /sys/bus/pci/devices/$2/driver/unbind; echo $2 > /sys/bus/pci/drivers_probe; }
  # It takes commands when it has said so.
  begin() { log=$1 cpu=$2; shift 2; mkfifo $log.commands; dpdk-testpmd --lcores 0@1,1@$cpu --in-memory --no-telemetry "$@" --nb-cores=1 --txpkts=60 --total-num-mbufs=8192 -i < $log.commands > $log 2>&1 & exec 3> $log.commands; until grep -q 'testpmd> ' $log; do sleep 0.1; done; }
  say() { echo "$@" >&3; }
  count() { sleep 2; say show port stats all; sleep $seconds; say show port stats all; }
  end() { say stop; say quit; exec 3>&-; }
  for round in ${rounds.join(' ')}; do
    taskset -c 0 ${program.frames} txonly $seconds $left > $out/ours-txonly-$round
    taskset -c 0 ${program.frames} io $seconds $left $right > $out/ours-io-$round
    if ${hasTestpmd}; then
      begin /tmp/txonly-$round 0 -a $left -- --forward-mode=txonly; say start; count; end; wait
      begin /tmp/io-$round 0 -a $left -a $right -- --forward-mode=io; say start tx_first 2; count; end; wait
      begin /tmp/sender-$round 1 -a $right -- --forward-mode=txonly; say start; exec 4>&3
      begin /tmp/rxonly-$round 0 -a $left -- --forward-mode=rxonly; say start; count; end; sleep 5
      taskset -c 0 ${program.frames} rxonly $seconds $left > $out/ours-rxonly-$round
      exec 3>&4 4>&-; end; wait
      for mode in ${modes.join(' ')}; do cp /tmp/$mode-$round $out/c-$mode-$round; done
    fi
    for workload in ${workloads.join(' ')}; do taskset -c 0 ${program.drive} $workload $seconds $drive > $out/ours-$workload-$round; done
    if ${hasFio}; then
      bind nvme $drive
      until [ -b /dev/nvme0n1 ]; do sleep 0.1; done
      for workload in ${workloads.join(' ')}; do
        for engine in io_uring libaio; do
          taskset -c 0 fio --name=$workload --filename=/dev/nvme0n1 --direct=1 --rw=$workload --bs=4k --iodepth=32 --ioengine=$engine --time_based --ramp_time=2 --runtime=$seconds --output-format=json --output=$out/$engine-$workload-$round > /dev/null
        done
      done
      bind vfio-pci $drive
    fi
  done`;

const median = (numbers: readonly number[]): number => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;
const read = (name: string): string => (existsSync(join(output, name)) ? readFileSync(join(output, name), 'utf8') : '');
/** Nanoseconds of one, from how many there were a second in each round. */
const each = (rate: (round: number) => number): number => 1e9 / median(rounds.map(rate));
/** Undefined where there is nothing to receive from. */
const ours = (what: string): number | undefined =>
  what === 'rxonly' && !hasTestpmd ? undefined : each((round) => Number(read(`ours-${what}-${round}`).split(' ')[1] ?? NaN));

/** What testpmd counted, of all ports, between its two reports. */
function testpmd(mode: string): number | undefined {
  if (!hasTestpmd) return undefined;
  const way = new RegExp(`${mode === 'rxonly' ? 'Rx' : 'Tx'}-pps:\\s+(\\d+)`);
  return each((round) => {
    const reports = read(`c-${mode}-${round}`)
      .split(/NIC statistics for port \d+/)
      .slice(1);
    // Each report is of each port, and the last of them counts from the first on.
    return reports.slice(reports.length / 2).reduce((sum, report) => sum + Number(way.exec(report)?.[1] ?? NaN), 0);
  });
}

function fio(engine: string, workload: string): number | undefined {
  if (!hasFio) return undefined;
  return each((round) => {
    const text = read(`${engine}-${workload}-${round}`);
    const { jobs } = JSON.parse(text.slice(text.indexOf('{'))) as { jobs: readonly Record<'read' | 'write', { iops: number }>[] };
    return jobs[0]![workload.endsWith('write') ? 'write' : 'read'].iops;
  });
}

try {
  const lab = ['--kernel', values.kernel, '--host-drivers', '--output', output, '--timeout', '1800'];
  execFileSync(
    'node',
    [join(root, 'dist/cli/main.js'), 'lab', ...lab, ...devices.flatMap((device) => ['--device', device]), 'sh', '-c', script],
    {
      stdio: 'inherit',
      cwd: root,
    },
  );
  const where = `Linux ${values.kernel} on an emulated processor`;
  report({
    title: `A frame of 60 bytes through an 82574L, ${where}`,
    unit: 'nanoseconds',
    rows: Object.fromEntries(modes.map((mode) => [mode, { 'this package': ours(mode), testpmd: testpmd(mode) }])),
    floor: 'testpmd',
    aims: hasTestpmd ? Object.fromEntries(modes.map((mode) => [mode, { times: 1 / 0.8 }])) : {},
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
    aims: hasFio ? Object.fromEntries(workloads.map((workload) => [workload, { times: 1 / 0.95 }])) : {},
  });
} finally {
  rmSync(output, { recursive: true });
}
