/**
 * What reaches memory when a register is accessed: for each accessor, in the code of each of V8's compilers, exactly the accesses
 * that are written, each of its width, in order. VFIO_TEST_NODES, file names with colons between, has it done by other versions
 * of Node too.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addonPath, root, sanitized } from './support.js';

const headers = path.resolve(process.execPath, '../../include/node');
const missing =
  process.arch !== 'x64'
    ? `it knows the instructions of x64 only, not of ${process.arch}`
    : sanitized
      ? 'the sanitizers take the signals it needs'
      : existsSync(path.join(headers, 'node_api.h'))
        ? undefined
        : `there are no headers of Node in ${headers}`;
const nodes = process.env['VFIO_TEST_NODES']?.split(':') ?? [process.execPath];

/** The accesses of each pattern, to a register that is `n` bytes wide. `R8` of 64 bits is a read at offset 8. */
const expectations: Record<string, (n: number) => string[]> = {
  unused: (n) => [`R${n}@8`],
  twice: (n) => [`R${n}@8`, `R${n}@8`],
  sum: (n) => [`R${n}@8`, `R${n}@8`],
  loop: (n) => Array<string>(4).fill(`R${n}@8`),
  spin: (n) => Array<string>(21).fill(`R${n}@8`),
  neighbours: (n) => [`R${n}@0`, `R${n}@8`],
  same: (n) => [`W${n}@8`, `W${n}@8`],
  over: (n) => [`W${n}@8`, `W${n}@8`],
  stores: (n) => Array<string>(4).fill(`W${n}@8`),
  forward: (n) => [`W${n}@8`, `R${n}@8`],
  order: (n) => [`W${n}@0`, `R${n}@8`, `W${n}@16`, `R${n}@24`],
  modify: (n) => [`R${n}@8`, `W${n}@8`],
  high: (n) => [`R${n}@8`],
  range: (n) => [0, 1, 2, 3].map((index) => `R${n}@${16 + index * n}`),
  list: (n) => [`W${n}@24`, `W${n}@8`, `W${n}@8`],
  at_once: (n) => [`R${n}@8`],
  one_look: (n) => [`R${n}@8`],
};
const expected = Object.fromEntries(
  Object.entries(expectations).flatMap(([name, accesses]) => [8, 16, 32, 64].map((bits) => [`${name} ${bits}`, accesses(bits / 8)])),
);

describe.skipIf(missing !== undefined)(`each access is one access${missing === undefined ? '' : `: skipped, as ${missing}`}`, () => {
  let folder: string;
  let tracer: string;
  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'access-trace-'));
    tracer = path.join(folder, 'tracer.node');
    const source = path.join(import.meta.dirname, 'access-tracer.cc');
    execFileSync('c++', ['-std=c++17', '-O1', '-fPIC', '-shared', `-I${headers}`, '-o', tracer, source]);
  }, 60_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(nodes)('by %s', { timeout: 120_000 }, (node) => {
    const child = path.join(import.meta.dirname, 'access-trace-child.mjs');
    const { status, signal, stdout, stderr } = spawnSync(node, ['--allow-natives-syntax', '--no-concurrent-recompilation', child, tracer], {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, VFIO_ADDON: addonPath },
    });
    expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
    const { wrong, ...seen } = JSON.parse(stdout) as Record<string, Record<string, Record<string, string[]>>>;
    // What a test that sees nothing would see too.
    expect(wrong).toEqual({ dropped: [], exchanged: ['M4@8'], torn: ['R1@8', 'R1@9', 'R1@10', 'R1@11'] });
    expect(Object.keys(seen)).toEqual(['mmio', 'fastMmio']);
    for (const [accessor, compilers] of Object.entries(seen)) {
      expect(Object.keys(compilers)).toEqual(expect.arrayContaining(['interpreter', 'turbofan']));
      for (const [compiler, accesses] of Object.entries(compilers))
        expect([accessor, compiler, accesses]).toEqual([accessor, compiler, expected]);
    }
  });
});
