import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Bench } from 'tinybench';
import { report, type Aims } from './report.js';

const rounds = 9;

/** A C program, compiled, by headers in `include` before the system's own; its file is there until it is disposed. */
export function compile(source: string, include?: string): Disposable & { readonly path: string } {
  const folder = mkdtempSync(join(tmpdir(), 'vfio-bench-'));
  const path = join(folder, 'program');
  const remove = (): void => rmSync(folder, { recursive: true });
  try {
    writeFileSync(`${path}.c`, source);
    execFileSync('cc', ['-O2', ...(include === undefined ? [] : ['-I', include]), '-o', path, `${path}.c`]);
  } catch (error) {
    remove();
    throw error;
  }
  return { path, [Symbol.dispose]: remove };
}

/**
 * Compiles and runs a C program that prints nanoseconds per operation, one `name value` a line: the median of parts so short that
 * most are over before another process comes in between.
 */
export function floor(body: string): Map<string, number> {
  using program = compile(`#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1e9 + t.tv_nsec; }
enum { PARTS = 999 };
static int ascending(const void *a, const void *b) { double x = *(const double *)a, y = *(const double *)b; return (x > y) - (x < y); }
static void print(const char *name, double *times) { qsort(times, PARTS, sizeof(*times), ascending); printf("%s %f\\n", name, times[PARTS / 2]); }
#define MEASURE(name, count, body) do { const long each = (count) / PARTS; double times[PARTS]; \\
  for (int part = 0; part < PARTS; part++) { \\
    double begin = now(); for (long i = 0; i < each; i++) { body; } times[part] = (now() - begin) / each; } \\
  print(name, times); } while (0)
int main(void) { ${body} return 0; }
`);
  return figuresOf(execFileSync(program.path, { encoding: 'utf8' }));
}

/** Figures from lines of a name, which may be of several words, and a value. */
export function figuresOf(text: string): Map<string, number> {
  return new Map([...text.matchAll(/^(.*) (\S+)$/gm)].map(([, name = '', value]) => [name, Number(value)]));
}

type Tasks = Readonly<Record<string, () => void>>;

interface Beside {
  /** Who else does the same, as far as they are there and can. */
  readonly others?: Readonly<Record<string, Tasks | undefined>>;
  readonly aims?: Aims;
}

/** Measures each task and reports its median beside C's figure of the same name, and those of others. */
export async function beside(
  title: string,
  c: ReadonlyMap<string, number>,
  tasks: Tasks,
  repeat: number,
  { others = {}, aims }: Beside = {},
): Promise<void> {
  const all = Object.entries({ 'this package': tasks, ...others });
  const names = Object.keys(tasks);
  const measured = names.flatMap((name) =>
    all.flatMap(([who, { [name]: task } = {}]) => (task ? [[`${name}, ${who}`, task] as const] : [])),
  );
  const figures = await medians(Object.fromEntries(measured), repeat);
  const rows = names.map((name) => {
    const row = all.map(([who]) => [who, figures.get(`${name}, ${who}`)] as const);
    return [name, { ...Object.fromEntries(row), ...(c.has(name) && { C: c.get(name) }) }] as const;
  });
  const floor = c.size > 0 && { floor: 'C' };
  report({ title, unit: 'nanoseconds', rows: Object.fromEntries(rows), ...floor, others: Object.keys(others), ...(aims && { aims }) });
}

/** Nanoseconds of one turn of each task. They take turns, several times over, so that all meet the same machine. */
export async function medians(tasks: Tasks, repeat: number): Promise<Map<string, number>> {
  const bench = new Bench({ time: 60, warmupTime: 20 });
  const figures = new Map<string, number[]>();
  for (const [name, task] of Object.entries(tasks)) {
    figures.set(name, []);
    bench.add(name, loopOf(name, task, repeat));
  }
  for (let round = 0; round < rounds; round += 1) {
    bench.reset();
    await bench.run();
    for (const { name, result } of bench.tasks) {
      if (result.state !== 'completed') throw new Error(`${name}: ${result.state}`);
      figures.get(name)?.push((result.latency.p50 * 1e6) / repeat);
    }
  }
  return new Map([...figures].map(([name, each]) => [name, each.sort((a, b) => a - b)[Math.floor(rounds / 2)] ?? NaN]));
}

/**
 * A loop of its own for each task: in one that all share V8 would not know which it calls, and calls cost more than some tasks do.
 * What has the same source it takes for the same; so each has its name there.
 */
function loopOf(name: string, task: () => void, repeat: number): () => void {
  const source = `/* ${name} */ return () => { for (let turn = 0; turn < ${repeat}; turn += 1) task(); }`;
  return (new Function('task', source) as (task: () => void) => () => void)(task);
}
