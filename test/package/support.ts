import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What `npm pack` made. Everything of the tests is in `folder`, and removed with it. */
export interface Packed {
  readonly folder: string;
  readonly tarball: string;
  readonly files: readonly string[];
  readonly size: number;
  readonly unpackedSize: number;
}

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}
interface Options {
  readonly cwd: string;
  readonly env?: NodeJS.ProcessEnv;
}

export function run(command: string, args: readonly string[], options: Options): Ended {
  const { status, stdout, stderr, error } = spawnSync(command, args, { ...options, encoding: 'utf8', maxBuffer: 2 ** 26 });
  if (error) throw error;
  return { status, stdout, stderr };
}

/** What a command that succeeds prints. */
export function done(command: string, args: readonly string[], options: Options): string {
  const { status, stdout, stderr } = run(command, args, options);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}:\n${stdout}${stderr}`);
  return stdout;
}

/** A user's: without what npm says to the scripts of this project, and without this user's settings, but with the registry. */
export function environment(folder: string): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(npm_|node_|vitest|vfio_|init_cwd)/i.test(name) || /^npm_config_(registry|.*proxy|cafile)$/i.test(name),
  );
  return {
    ...Object.fromEntries(kept),
    npm_config_cache: join(folder, 'cache'),
    npm_config_userconfig: join(folder, 'no-npmrc'),
    npm_config_prefer_offline: 'true',
  };
}

/** A folder for a consumer, empty but for a package.json that makes it one. */
export function project(folder: string, name: string): string {
  const made = mkdtempSync(join(folder, `${name}-`));
  writeFileSync(join(made, 'package.json'), '{ "private": true }');
  return made;
}

/** A package of the registry, whatever machine it is for: `name@version`. */
export function fetchPackage(folder: string, spec: string): string {
  const place = mkdtempSync(join(folder, 'fetched-'));
  const file = done('npm', ['pack', '--silent', '--pack-destination', place, spec], { cwd: place }).trim();
  mkdirSync(join(place, 'package'), { recursive: true });
  done('tar', ['-xzf', join(place, file), '-C', join(place, 'package'), '--strip-components=1', '--no-same-owner'], { cwd: place });
  return join(place, 'package');
}

/** The tarball as it would be for a machine that it carries no addon for. */
export function withoutPrebuilds({ folder, tarball }: Packed): string {
  const place = mkdtempSync(join(folder, 'without-'));
  const made = join(place, 'vfio.tgz');
  done('tar', ['-xzf', tarball, '--exclude=package/prebuilds'], { cwd: place });
  done('tar', ['-czf', made, 'package'], { cwd: place });
  return made;
}

/** What both kernels say to it: one line, or two if the real one is not to be had. */
export const program = `
import { Container, native, openDevice } from 'vfio';
import { parseAddress } from 'vfio/pci';
import { Edu, Machine } from 'vfio/sim';

const { kernel } = new Machine({ devices: [{ model: new Edu() }] });
const opened = openDevice(kernel, parseAddress('00:03.0'));
console.log('simulated', opened.device.region(0).mmio.read32(0).toString(16));
opened.close();
try {
  Container.open(native(), '/dev/vfio/missing');
} catch (error) {
  console.log('real', error.constructor.name, error.code, error.message);
}
`;
export const simulated = 'simulated 10000ed\n';
export const real = /^simulated 10000ed\nreal KernelError ENOENT ENOENT: no such file or directory, open '\/dev\/vfio\/missing'/;
