/** A Debian that has a shell, Node, and nothing to compile with. */
import { cpSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, inject, it } from 'vitest';
import { done, fetchPackage, program, real, run, simulated, withoutPrebuilds } from './support.js';

const packed = inject('packed');
const { folder, tarball } = packed;
const bare = join(folder, 'bare');
const env = {
  PATH: '/usr/bin:/bin',
  HOME: '/root',
  npm_config_cache: '/cache',
  npm_config_offline: 'true',
  npm_config_update_notifier: 'false',
};

/** In the bare root, with nothing of this machine but its kernel; what is mounted goes with the process. */
const inside = (cwd: string, command: string): ReturnType<typeof run> =>
  run('unshare', ['--mount', '--pid', '--fork', `--root=${bare}`, `--wd=${cwd}`, '--mount-proc', '/bin/sh', '-c', command], {
    cwd: folder,
    env,
  });

beforeAll(() => {
  const suite = /^VERSION_CODENAME=(.+)$/m.exec(readFileSync('/etc/os-release', 'utf8'))![1]!;
  done('mmdebstrap', ['--quiet', '--mode=root', '--variant=extract', '--include=base-files,dash,coreutils,libstdc++6', suite, bare], {
    cwd: folder,
  });
  cpSync(join(folder, 'cache'), join(bare, 'cache'), { recursive: true });
  const node = fetchPackage(folder, `node-linux-${process.arch}@20`);
  copyFileSync(join(node, 'bin/node'), join(bare, 'usr/bin/node'));
  const npm = fetchPackage(folder, 'npm@11');
  cpSync(npm, join(bare, 'opt/npm'), { recursive: true });
  writeFileSync(join(bare, 'usr/bin/npm'), '#!/bin/sh\nexec node /opt/npm/bin/npm-cli.js "$@"\n', { mode: 0o755 });
  for (const [name, from] of [
    ['carried', tarball],
    ['without', withoutPrebuilds(packed)],
  ] as const) {
    const place = join(bare, 'srv', name);
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, 'package.json'), '{ "private": true }');
    writeFileSync(join(place, 'program.mjs'), program);
    copyFileSync(from, join(place, 'vfio.tgz'));
  }
});

describe('a bare Debian', () => {
  it('has nothing to compile with', () => {
    for (const name of ['gcc', 'g++', 'cc', 'make', 'python3']) expect(inside('/', `command -v ${name}`).status).not.toBe(0);
    expect(inside('/', 'node --version').stdout).toMatch(/^v20\./);
  });

  it('reaches both kernels', () => {
    expect(inside('/srv/carried', 'npm install ./vfio.tgz')).toMatchObject({ status: 0 });
    expect(inside('/srv/carried', 'node program.mjs').stdout).toMatch(real);
    expect(inside('/srv/carried', 'node node_modules/vfio/dist/cli/vfio.cjs list')).toMatchObject({ status: 0 });
  });

  it('without a prebuilt addon installs too, simulates, and says how the addon is built', () => {
    const { status, stdout, stderr } = inside('/srv/without', 'npm install --foreground-scripts ./vfio.tgz');
    expect([status, stdout + stderr]).toEqual([0, expect.stringContaining('vfio: the addon was not built')]);
    const printed = inside('/srv/without', 'node program.mjs').stdout;
    expect(printed).toContain(`${simulated}real CodedError ERR_VFIO_ADDON `);
    expect(printed).toContain('npm rebuild vfio --foreground-scripts');
    expect(printed).toContain('apt-get install build-essential python3');
  });
});
