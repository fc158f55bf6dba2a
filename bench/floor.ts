import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Bench } from 'tinybench';
import { report } from './report.js';

/** A C program, compiled; its file is there until it is disposed. */
export function compile(source: string): Disposable & { readonly path: string } {
  const folder = mkdtempSync(join(tmpdir(), 'vfio-bench-'));
  const path = join(folder, 'program');
  const remove = (): void => rmSync(folder, { recursive: true });
  try {
    writeFileSync(`${path}.c`, source);
    execFileSync('cc', ['-O2', '-o', path, `${path}.c`]);
  } catch (error) {
    remove();
    throw error;
  }
  return { path, [Symbol.dispose]: remove };
}

/** Compiles and runs a C program that prints nanoseconds per operation, one `name value` a line. */
export function floor(body: string): Map<string, number> {
  using program = compile(`#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1e9 + t.tv_nsec; }
#define MEASURE(name, count, body) do { double t = now(); for (long i = 0; i < (count); i++) { body; } printf(name " %f\\n", (now() - t) / (count)); } while (0)
int main(void) { ${body} return 0; }
`);
  const lines = execFileSync(program.path, { encoding: 'utf8' }).trim().split('\n');
  return new Map(lines.map((line) => [line.split(' ')[0] ?? '', Number(line.split(' ')[1])]));
}

/** Measures each task and reports its median beside C's figure of the same name, and those of others who do the same. */
export async function beside(
  title: string,
  c: ReadonlyMap<string, number>,
  tasks: Readonly<Record<string, () => void>>,
  repeat: number,
  others: Readonly<Record<string, Readonly<Record<string, () => void>> | undefined>> = {},
): Promise<void> {
  const ours = await medians(tasks, repeat);
  const theirs = new Map<string, ReadonlyMap<string, number> | undefined>();
  for (const [who, their] of Object.entries(others)) theirs.set(who, their && (await medians(their, repeat)));
  const rows = Object.keys(tasks).map((name) => {
    const row = Object.fromEntries([...theirs].map(([who, figures]) => [who, figures?.get(name)]));
    return [name, { 'this package': ours.get(name), ...row, ...(c.has(name) && { C: c.get(name) }) }] as const;
  });
  report({ title, unit: 'nanoseconds', rows: Object.fromEntries(rows), ...(c.size > 0 && { floor: 'C' }) });
}

/** Nanoseconds of one turn of each task. */
export async function medians(tasks: Readonly<Record<string, () => void>>, repeat: number): Promise<Map<string, number>> {
  const bench = new Bench({ time: 500, warmupTime: 200 });
  for (const [name, task] of Object.entries(tasks)) {
    bench.add(name, () => {
      for (let i = 0; i < repeat; i += 1) task();
    });
  }
  await bench.run();
  return new Map(
    bench.tasks.map(({ name, result }) => {
      if (result.state !== 'completed') throw new Error(`${name}: ${result.state}`);
      return [name, (result.latency.p50 * 1e6) / repeat];
    }),
  );
}
