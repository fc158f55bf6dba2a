/** A run: how much was compared, and what was found, in words and as cases that run again. */
import { requests } from '../../lib/abi/requests.js';
import type { Kernels } from './kernels.js';
import type { Operation } from './operation.js';
import { exceptions, leftOut } from './exceptions.js';
import { generate, replay, type Difference, type Ran, type Tally } from './sequence.js';
import { shrink } from './shrink.js';

/** A sequence in a file, for `--case`. */
export interface CaseFile {
  /** Where it was found. */
  readonly kernels: string;
  readonly seed: number;
  readonly operations: readonly Operation[];
  /** Of the first kernel, which is the real one. */
  readonly answers: readonly string[];
}

export interface Found extends Difference, Omit<CaseFile, 'kernels'> {}

export interface Report {
  readonly kernels: string;
  readonly seed: number;
  readonly calls: number;
  readonly sequences: number;
  readonly found: readonly Found[];
  readonly tally: Readonly<Record<string, number>>;
  /** The requests that were made. */
  readonly requests: readonly string[];
}

/** Runs sequences until as many calls were compared, or so many differences were found. */
export function run(
  { name, shape, open }: Kernels,
  options: { seed: number; calls: number; most: number; progress?: (news: string) => void },
): Report {
  const tally: Tally = new Map();
  const found: Found[] = [];
  const known = new Set<string>();
  const asked = new Set<string>();
  let [calls, sequences] = [0, 0];
  while (calls < options.calls && found.length < options.most) {
    const seed = options.seed + sequences * 1_000_003;
    const ran = generate(open, shape, seed, tally);
    sequences += 1;
    for (const operation of ran.operations) if (operation.call === 'ioctl') asked.add(operation.request);
    calls += ran.operations.filter(({ call }) => call !== 'poke').length;
    // One of a sort is enough.
    if (ran.difference !== undefined && !known.has(sort(ran.difference))) {
      known.add(sort(ran.difference));
      options.progress?.(`${sort(ran.difference)}, of seed ${seed}: to be made shorter`);
      found.push(shorten(open, ran, seed));
    }
    if (sequences % 20 === 0) options.progress?.(`${calls} calls`);
  }
  return { kernels: name, seed: options.seed, calls, sequences, found, tally: Object.fromEntries(tally), requests: [...asked] };
}

/** Of the many tries to make a sequence shorter, each may wait for an interrupt that does not come. */
const shortPatience = 200;

/** The same difference, of the same call, in as few operations as show it. */
function shorten(open: Kernels['open'], ran: Ran, seed: number): Found {
  const { operations, difference } = ran;
  const differs = (shorter: readonly Operation[]): boolean => {
    const { difference: again } = replay(() => open(shortPatience), shorter);
    return again !== undefined && sort(again) === sort(difference as Difference);
  };
  // What does not come again depends on time: it is shown as it was.
  const again = differs(operations) ? replay(open, shrink(operations, differs)) : ran;
  return { ...((again.difference ?? difference) as Difference), operations: again.operations, answers: again.answers, seed };
}

/** The call, and what the kernels answer to it. */
function sort({ operation, left, right }: Difference): string {
  return `${operation.call === 'ioctl' ? operation.request : operation.call} ${left.result} ${right.result}`;
}

export function describe(report: Report): string {
  const { kernels, seed, calls, sequences, found, tally } = report;
  const lines = [
    `differential ${kernels}: seed ${seed}, ${calls} calls compared in ${sequences} sequences, ${found.length} differences`,
    `  asked: ${report.requests.length} of ${requests.length} requests`,
    ...exceptions.map(({ name, reason }) => `  known: ${name}, ${tally[name] ?? 0} times: ${reason}`),
    ...leftOut.map(({ name, reason }) => `  left out: ${name}: ${reason}`),
    ...found.map((difference, index) => `\n${index + 1}. ${describeFound(kernels, difference)}`),
  ];
  return lines.join('\n');
}

export function describeFound(kernels: string, { operation, left, right, inMemory, ...found }: Found): string {
  const lines = [
    `seed ${found.seed}: operation #${operation.id} is ${left.result} on the first kernel and ${right.result} on the second`,
    ...(inMemory ? ['   in the memory that requests have addresses of'] : differingBytes(left.bytes, right.bytes)),
    caseText({ kernels, ...found }),
  ];
  return lines.join('\n');
}

/** One operation on a line. */
export function caseText({ kernels, seed, operations, answers }: CaseFile): string {
  const lines = operations.map((operation) => `  ${JSON.stringify(operation)}`);
  return `{"kernels":${JSON.stringify(kernels)},"seed":${seed},"operations":[\n${lines.join(',\n')}\n],"answers":${JSON.stringify(answers)}}`;
}

function differingBytes(left: Uint8Array, right: Uint8Array): string[] {
  const lines: string[] = [];
  for (let at = 0; at < Math.max(left.length, right.length); at += 4) {
    const [first, second] = [left, right].map((bytes) => Buffer.from(bytes.subarray(at, at + 4)).toString('hex'));
    if (first !== second) lines.push(`   byte ${at}: ${first} and ${second}`);
  }
  return lines.length <= 12 ? lines : [...lines.slice(0, 12), `   and ${lines.length - 12} more`];
}
