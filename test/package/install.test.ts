/** The tarball, installed as users do. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, inject, it } from 'vitest';
import { done, environment, fetchPackage, program, project, real, run, simulated, withoutPrebuilds } from './support.js';

const packed = inject('packed');
const { folder, tarball } = packed;
const installed = join(folder, 'installed');
const env = environment(folder);
/** The lines of Node that there are: what is given, else what the registry has. */
const nodes =
  process.env['VFIO_TEST_NODES']?.split(':') ??
  [20, 22, 24, 26].map((line) => join(fetchPackage(folder, `node-linux-${process.arch}@${line}`), 'bin/node'));

beforeAll(() => {
  writeFileSync(join(installed, 'program.mjs'), program);
});

describe('installed without scripts', () => {
  it.each(nodes)('reaches both kernels, with %s', (node) => {
    expect(done(node, ['program.mjs'], { cwd: installed, env })).toMatch(real);
  });

  it('has the command', () => {
    const { version } = JSON.parse(readFileSync(join(installed, 'node_modules/vfio/package.json'), 'utf8')) as { version: string };
    writeFileSync(join(installed, 'machine.json'), '{"devices": [{"model": "edu"}]}');
    const npx = (...args: string[]): string => done('npx', ['--no-install', 'vfio', ...args], { cwd: installed, env });
    expect(npx('--version')).toBe(`${version}\n`);
    expect(run('npx', ['--no-install', 'vfio', 'list'], { cwd: installed, env }).status).toBe(0);
    expect(npx('--sim', 'machine.json', 'list')).toContain('0000:00:03.0');
    expect(npx('--sim', 'machine.json', 'read', '00:03.0', 'bar0', '0')).toContain('010000ed');
  });

  it.each(['darwin', 'win32'])('on %s simulates, and says what the real kernel needs', (platform) => {
    writeFileSync(join(installed, `${platform}.mjs`), `Object.defineProperty(process, 'platform', { value: '${platform}' });`);
    const printed = done(process.execPath, ['--import', `./${platform}.mjs`, 'program.mjs'], { cwd: installed, env });
    expect(printed).toBe(
      `${simulated}real CodedError ERR_VFIO_PLATFORM The real kernel is Linux's; this is ${platform}. The simulated one works here: import { Machine } from 'vfio/sim'.\n`,
    );
  });
});

describe('without a prebuilt addon', () => {
  it('npm builds it, with headers that are there', () => {
    const place = project(folder, 'built');
    const { stdout, stderr } = run('npm', ['install', '--foreground-scripts', withoutPrebuilds(packed)], { cwd: place, env });
    expect(existsSync(join(place, 'node_modules/vfio/build/Release/vfio.node')), stdout + stderr).toBe(true);
    writeFileSync(join(place, 'program.mjs'), program);
    expect(done(process.execPath, ['program.mjs'], { cwd: place, env })).toMatch(real);
  });
});

describe('npm 12, which runs no scripts of dependencies', () => {
  const npm = join(fetchPackage(folder, 'npm@12'), 'bin/npm-cli.js');
  const node = nodes.at(-1)!;
  const install = (place: string, ...args: string[]): ReturnType<typeof run> => run(node, [npm, ...args], { cwd: place, env });

  it('needs none for the prebuilt addon', () => {
    const place = project(folder, 'npm12');
    const { status, stderr, stdout } = install(place, 'install', tarball);
    expect([status, stdout + stderr]).toEqual([0, expect.stringMatching(/blocked/)]);
    writeFileSync(join(place, 'program.mjs'), program);
    expect(done(node, ['program.mjs'], { cwd: place, env })).toMatch(real);
  });

  it('builds it by the commands that the error names', () => {
    const place = project(folder, 'npm12-built');
    expect(install(place, 'install', withoutPrebuilds(packed)).status).toBe(0);
    writeFileSync(join(place, 'program.mjs'), program);
    const printed = done(node, ['program.mjs'], { cwd: place, env });
    expect(printed).toContain(`${simulated}real CodedError ERR_VFIO_ADDON `);
    const commands = printed.match(/npm (install-scripts approve|rebuild) vfio( --foreground-scripts)?/g) ?? [];
    expect(commands.sort()).toEqual(['npm install-scripts approve vfio', 'npm rebuild vfio --foreground-scripts']);
    for (const command of commands) expect(install(place, ...command.split(' ').slice(1))).toMatchObject({ status: 0 });
    expect(done(node, ['program.mjs'], { cwd: place, env })).toMatch(real);
    rmSync(place, { recursive: true });
  });
});
