import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, homedir } from 'node:os';
import { basename, join } from 'node:path';
import { Archive } from './archive.js';
import { compareVersions, configFragment, enabledOptions, optionsHash, variantsOf, type Variant } from './kernel-options.js';
import { requireToBuild } from './requirements.js';
import { say, step } from './steps.js';
import { withTemporaryFolder } from './temporary.js';

/** A kernel that is ready to boot. */
export interface BuiltKernel {
  readonly version: string;
  readonly variant: Variant;
  readonly image: string;
  /** Its headers for user space: the folder that holds linux/vfio.h. */
  readonly headers: string;
}

/** Where kernels are kept, outside of any checkout. */
export const cacheFolder = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'vfio-lab');

/**
 * The kernel of that version ('6.12', or 'newest'), from the cache, or built into it: minutes the first time, nothing
 * afterwards, not even a look at the network.
 */
export async function prepareKernel(wanted: string, variant: Variant): Promise<BuiltKernel> {
  const version = await versionOf(wanted);
  if (!variantsOf(version).includes(variant))
    throw new Error(`Of Linux ${version} there is no ${variant}, but ${variantsOf(version).join(', ')}`);
  await prepareMissing(version, [variant]);
  return builtKernel(version, variant);
}

function builtKernel(version: string, variant: Variant): BuiltKernel {
  const folder = folderOf(version, variant);
  return { version, variant, image: join(folder, 'bzImage'), headers: join(folder, 'include') };
}

/** The kernels in the cache that are as this version of the lab builds them, in order. */
export function builtKernels(): BuiltKernel[] {
  const names = existsSync(cacheFolder) ? readdirSync(cacheFolder) : [];
  const versions = new Set(names.flatMap((name) => /^\d+\.\d+(?=-)/.exec(name)?.[0] ?? []));
  return [...versions]
    .sort(compareVersions)
    .flatMap((version) => variantsOf(version).map((variant) => builtKernel(version, variant)))
    .filter(({ image }) => existsSync(image));
}

/** The same for all variants of it; built one after the other, each after the first takes a fraction of its time. */
export async function prepareVariants(wanted: string): Promise<void> {
  const version = await versionOf(wanted);
  await prepareMissing(version, variantsOf(version));
}

async function versionOf(wanted: string): Promise<string> {
  mkdirSync(cacheFolder, { recursive: true });
  const version = wanted === 'newest' ? await newestVersion() : wanted;
  if (!/^\d+\.\d+$/.test(version)) throw new Error(`Expected a kernel like 6.12, or newest, but received '${wanted}'`);
  return version;
}

function folderOf(version: string, variant: Variant): string {
  return join(cacheFolder, `${version}-${variant}-${optionsHash(version, variant)}`);
}

async function prepareMissing(version: string, variants: readonly Variant[]): Promise<void> {
  const missing = variants.filter((variant) => !existsSync(folderOf(version, variant)));
  if (missing.length === 0) return;
  requireToBuild();
  say(`Linux ${version} is not in ${cacheFolder} yet; building it takes about five minutes and 3 GB for as long`);
  await withTemporaryFolder(join(cacheFolder, 'build-'), (work) => build(version, missing, work));
}

/** The newest that Debian had when the lab first asked. Remove the file to ask again. */
async function newestVersion(): Promise<string> {
  const remembered = join(cacheFolder, 'newest');
  if (existsSync(remembered)) return readFileSync(remembered, 'utf8').trim();
  requireToBuild();
  const versions = await withTemporaryFolder(join(cacheFolder, 'apt-'), (work) =>
    new Archive(work, join(cacheFolder, 'apt.log')).versions(),
  );
  const newest = versions.at(-1);
  if (newest === undefined) throw new Error("Debian's archive lists no kernel source");
  writeFileSync(remembered, `${newest}\n`);
  return newest;
}

/**
 * Builds in the cache's `work` folder and moves each result in at its end, so that a cache entry is always whole. Two that
 * build at once have nothing in common, not even apt's lists, whose lock only one could hold.
 */
async function build(version: string, variants: readonly Variant[], work: string): Promise<void> {
  const log = join(cacheFolder, `build-${version}-${variants.join('-')}.log`);
  writeFileSync(log, '');
  const archive = new Archive(join(work, 'apt'), log);
  const available = await archive.versions();
  if (!available.includes(version)) throw new Error(`Debian has no source of Linux ${version}; it has ${available.join(', ')}`);
  const deb = await archive.download(version, work);
  const source = await unpack(version, deb, work, log);
  const make = (...args: string[]): readonly string[] => ['-s', `-j${availableParallelism()}`, ...args];
  for (const variant of variants) {
    // In the same tree, make compiles again only what looks at an option that changed.
    await configure(version, variant, source, log);
    await step(`building Linux ${version}, ${variant}`, 'make', make('bzImage'), { cwd: source, log });
    await step('making its headers', 'make', make('headers'), { cwd: source, log });
    const result = join(work, variant);
    mkdirSync(result);
    cpSync(join(source, 'arch/x86/boot/bzImage'), join(result, 'bzImage'));
    cpSync(join(source, 'usr/include'), join(result, 'include'), { recursive: true });
    writeFileSync(join(result, 'package'), `${basename(deb)}\n`);
    keep(result, folderOf(version, variant));
  }
}

function keep(result: string, folder: string): void {
  try {
    renameSync(result, folder);
  } catch (error) {
    // Somebody else may have built the same meanwhile; theirs is as good.
    if (!existsSync(folder)) throw error;
  }
}

async function unpack(version: string, deb: string, work: string, log: string): Promise<string> {
  const source = join(work, 'source');
  mkdirSync(source);
  await step('unpacking the package', 'dpkg-deb', ['-x', deb, join(work, 'package')], { cwd: work, log });
  const tar = join(work, 'package/usr/src', `linux-source-${version}.tar.xz`);
  await step('unpacking the source', 'tar', ['-xf', tar, '-C', source, '--strip-components=1'], { cwd: work, log });
  rmSync(join(work, 'package'), { recursive: true });
  allowSamples(source);
  return source;
}

/** Before 6.2 the mediated samples may only be modules, though nothing in them needs it: in the lab everything is built in. */
function allowSamples(source: string): void {
  const file = join(source, 'samples/Kconfig');
  writeFileSync(file, readFileSync(file, 'utf8').replaceAll('depends on VFIO_MDEV && m\n', 'depends on VFIO_MDEV\n'));
}

/** The smallest kernel plus our options, each of which must have taken. */
async function configure(version: string, variant: Variant, source: string, log: string): Promise<void> {
  const fragment = join(source, 'lab.config');
  writeFileSync(fragment, configFragment(version, variant));
  const options = { cwd: source, log };
  await step('configuring: the smallest kernel', 'make', ['-s', 'tinyconfig'], options);
  await step("configuring: the lab's options", 'scripts/kconfig/merge_config.sh', ['-m', '.config', fragment], options);
  await step('configuring: what follows from them', 'make', ['-s', 'olddefconfig'], options);
  const config = readFileSync(join(source, '.config'), 'utf8');
  const lost = enabledOptions(version, variant).filter((name) => !config.includes(`\nCONFIG_${name}=y\n`));
  if (lost.length > 0)
    throw new Error(`Linux ${version} did not take these options, so something they depend on is missing: ${lost.join(' ')}`);
}
