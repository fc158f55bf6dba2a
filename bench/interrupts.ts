/**
 * From the signal of an eventfd to the first statement of who waits for it: another process signals at random times and notes
 * when, the one that is woken notes when it had the count, both by CLOCK_MONOTONIC. Each way takes its turn, several times over,
 * so that all meet the same machine.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { read as readFile } from 'node:fs';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { Interrupt, native, Resource } from 'vfio';
import { EFD_NONBLOCK } from 'vfio/abi';
import { ffiNapi } from './ffi-napi.js';
import { compile } from './floor.js';
import { koffi } from './koffi.js';
import { report } from './report.js';

const rounds = 5;
const signals = 4000;
/** Until V8 has compiled what is measured; dropped from each round. */
const warmUp = 1000;
/** As long as the longest pause between two signals. */
const spinMicroseconds = 150;

/** `signal COUNT SEED` signals the eventfd that is its fd 3 and prints when; `wait COUNT` waits for it and prints when and how many. */
using program = compile(`#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
static uint64_t now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000ull + t.tv_nsec; }
int main(int argc, char **argv) {
  const uint64_t count = strtoull(argv[2], 0, 10), one = 1;
  uint64_t *at = calloc(count, 8), *taken = calloc(count, 8), calls = 0;
  if (argv[1][0] == 's') {
    prctl(PR_SET_TIMERSLACK, 1);
    srand(atoi(argv[3]));
    usleep(200000);
    for (; calls < count; calls++) {
      struct timespec pause = {0, 50000 + rand() % 100000};
      nanosleep(&pause, 0);
      at[calls] = now();
      if (write(3, &one, 8) != 8) return 1;
    }
  } else {
    struct epoll_event event = {EPOLLIN, {0}};
    const int epoll = epoll_create1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, 3, &event);
    for (uint64_t sum = 0; sum < count; sum += taken[calls++]) {
      epoll_wait(epoll, &event, 1, -1);
      if (read(3, &taken[calls], 8) != 8) return 1;
      at[calls] = now();
    }
  }
  for (uint64_t i = 0; i < calls; i++) printf("%lu %lu\\n", at[i], taken[i]);
  return 0;
}
`);

/** When somebody had been woken, in nanoseconds, and by how many signals. */
type Wake = readonly [at: bigint, count: number];

/** Runs the C program with the eventfd; resolves with what it prints. */
async function run(fd: number, ...args: (string | number)[]): Promise<Wake[]> {
  const child = spawn(program.path, args.map(String), { stdio: ['ignore', 'pipe', 'inherit', fd] });
  const [output, [status]] = await Promise.all([text(child.stdio[1] as Readable), once(child, 'close')]);
  if (status !== 0) throw new Error(`${args[0]} ended with ${status}`);
  const lines = output.trim().split('\n');
  return lines.map((line) => line.split(' ')).map(([at = '', count = '']) => [BigInt(at), Number(count)]);
}

/** Notes wakes into memory that is there already. */
class Wakes {
  readonly #at = new BigUint64Array(signals);
  readonly #counts = new Uint32Array(signals);
  #length = 0;
  #sum = 0;

  add(count: number): void {
    this.#at[this.#length] = process.hrtime.bigint();
    this.#counts[this.#length] = count;
    this.#length += 1;
    this.#sum += count;
  }

  get complete(): boolean {
    return this.#sum >= signals;
  }

  get all(): Wake[] {
    return Array.from(this.#at.subarray(0, this.#length), (at, index) => [at, this.#counts[index] ?? 0]);
  }
}

class Owner extends Resource {
  protected override release(): void {}
}

/** An eventfd, and what waits for it until all signals have come. */
interface Waiting {
  readonly fd: number;
  readonly take: () => Promise<readonly Wake[]>;
}

function ofInterrupt(take: (interrupt: Interrupt, wakes: Wakes) => Promise<void>): (owner: Owner) => Waiting {
  return (owner) => {
    const interrupt = new Interrupt(owner, kernel, 'Interrupt', undefined);
    const wakes = new Wakes();
    return { fd: interrupt.fd, take: () => take(interrupt, wakes).then(() => wakes.all) };
  };
}

function ofEventfd(flags: number, take: (fd: number) => Promise<readonly Wake[]>): (owner: Owner) => Waiting {
  return (owner) => {
    const fd = kernel.eventfd(0, flags);
    owner.afterwards(() => kernel.close(fd));
    return { fd, take: () => take(fd) };
  };
}

/** The eventfd read by a thread of the pool, which waits there, again and again. */
function byThread(read: (fd: number, bytes: Uint8Array) => Promise<unknown>): (owner: Owner) => Waiting {
  return ofEventfd(0, async (fd) => {
    const wakes = new Wakes();
    const counter = new BigUint64Array(1);
    const bytes = new Uint8Array(counter.buffer);
    while (!wakes.complete) {
      await read(fd, bytes);
      wakes.add(Number(counter[0]));
    }
    return wakes.all;
  });
}

function pollByKoffi(fd: number): Promise<readonly Wake[]> {
  const wakes = new Wakes();
  const counter = new BigUint64Array(1);
  const bytes = new Uint8Array(counter.buffer);
  return new Promise((resolve) => {
    const poll = koffi.poll(fd, () => {
      koffi.read(fd, bytes);
      wakes.add(Number(counter[0]));
      if (!wakes.complete) return;
      poll.close();
      resolve(wakes.all);
    });
  });
}

const kernel = native();
const read = promisify(readFile);
type Ways = Readonly<Record<string, ((owner: Owner) => Waiting) | undefined>>;
const ours: Ways = {
  "on('signal')": ofInterrupt(
    (interrupt, wakes) =>
      new Promise((resolve) => {
        interrupt.ref().on('signal', (count) => {
          wakes.add(count);
          if (wakes.complete) resolve();
        });
      }),
  ),
  'wait()': ofInterrupt(async (interrupt, wakes) => {
    while (!wakes.complete) wakes.add(await interrupt.wait());
  }),
  [`wait(), spinning ${spinMicroseconds} µs`]: ofInterrupt(async (interrupt, wakes) => {
    while (!wakes.complete) wakes.add(await interrupt.wait({ spinMicroseconds }));
  }),
  'poll()': ofInterrupt(async (interrupt, wakes) => {
    while (!wakes.complete) {
      const count = interrupt.poll();
      if (count > 0) wakes.add(count);
    }
  }),
};
const others: Ways = {
  'fs.read': byThread((fd, buffer) => read(fd, { buffer })),
  'koffi, read': byThread(koffi.readAsync),
  'koffi, poll': ofEventfd(EFD_NONBLOCK, pollByKoffi),
  'ffi-napi, read': ffiNapi && byThread(ffiNapi.readAsync),
};
const ways: Ways = { 'C, epoll': ofEventfd(EFD_NONBLOCK, (fd) => run(fd, 'wait', signals)), ...ours, ...others };

/** Microseconds from the first signal that a wake had to it, without those of the warm-up. */
async function latencies(way: (owner: Owner) => Waiting, seed: number): Promise<number[]> {
  using owner = new Owner('Round');
  const { fd, take } = way(owner);
  const [signalled, wakes] = await Promise.all([run(fd, 'signal', signals, seed), take()]);
  let signal = 0;
  const all = wakes.map(([at, count]) => {
    const [from] = signalled[signal] ?? [at];
    signal += count;
    return Number(at - from) / 1000;
  });
  return all.slice(warmUp);
}

const figures = new Map(Object.keys(ways).map((name) => [name, [] as number[]]));
for (let round = 0; round < rounds; round += 1) {
  for (const [name, way] of Object.entries(ways)) {
    if (way !== undefined) figures.get(name)?.push(...(await latencies(way, round + 1)));
  }
}
for (const each of figures.values()) each.sort((a, b) => a - b);
const quantile = (name: string, share: number): number | undefined => {
  const sorted = figures.get(name) ?? [];
  return sorted[Math.floor(sorted.length * share)];
};
const median = (name: string): number | undefined => quantile(name, 0.5);
const best = Object.keys(others).reduce((least, name) => Math.min(least, median(name) ?? least), Infinity);
report({
  title: 'From the signal of an eventfd to the count of who waits for it',
  unit: 'microseconds',
  rows: Object.fromEntries(
    Object.keys(ways).map((name) => [
      name,
      {
        // The fastest tenth is what it takes when nothing else wants the processor.
        p10: quantile(name, 0.1),
        median: median(name),
        p99: quantile(name, 0.99),
        "C's median": median('C, epoll'),
        ...(name in ours && { "others' best": best }),
      },
    ]),
  ),
  floor: "C's median",
  compared: 'median',
  others: ["others' best"],
  aims: { "on('signal')": { times: 2 }, 'wait()': { times: 2 } },
});
