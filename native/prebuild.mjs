// Builds the addons that the package carries, prebuilds/linux-<processor>/vfio.<C library>.node, with Debian's cross compilers.
//
// Each is what binding.gyp says, built by node-gyp, for N-API: one file serves every Node. It links the C library and
// libstdc++ as a program of that system does, because Node has both loaded, and must not need newer ones than Node 20 itself:
// `oldest` is what its binaries ask for, and nothing else is let through.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { rebuild } from './node-gyp.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const processors = [
  { name: 'x64', debian: 'amd64', gnu: 'x86_64' },
  { name: 'arm64', debian: 'arm64', gnu: 'aarch64' },
];
const oldest = { GLIBC: '2.28', GLIBCXX: '3.4.21', CXXABI: '1.3.9' };

try {
  for (const processor of processors) needTools(processor);
  for (const processor of processors) for (const library of ['glibc', 'musl']) build(processor, library);
} catch (error) {
  console.error(`vfio: the prebuilt addons were not built: ${error.message}`);
  process.exitCode = 1;
}

function needTools({ name, debian, gnu }) {
  const compiler = spawnSync(`${gnu}-linux-gnu-g++`, ['--version']);
  const missing = [];
  if (compiler.error) missing.push(name === process.arch ? 'g++' : `g++-${gnu.replace('_', '-')}-linux-gnu`);
  if (!existsSync(`/usr/include/${gnu}-linux-musl/stdio.h`)) missing.push(`musl-dev:${debian}`);
  if (missing.length === 0) return;
  throw new Error(`for ${name}, the packages ${missing.join(' and ')} are missing. On Debian:
  dpkg --add-architecture ${debian} && apt-get update && apt-get install make python3 ${missing.join(' ')}`);
}

function build(processor, library) {
  const file = `prebuilds/linux-${processor.name}/vfio.${library}.node`;
  // A folder of its own: what is in build/ is this machine's.
  const folder = mkdtempSync(path.join(tmpdir(), 'vfio-prebuild-'));
  try {
    for (const name of ['binding.gyp', 'native', 'package.json', 'node_modules'])
      symlinkSync(path.join(root, name), path.join(folder, name));
    const environment = library === 'musl' ? musl(processor, folder) : glibc(processor);
    const built = rebuild(folder, { options: [`--arch=${processor.name}`, '--jobs=max'], environment, stdio: 'pipe' });
    if (built.status !== 0) throw new Error(`${file}: ${built.error?.message ?? `${built.stdout}${built.stderr}`}`);
    const made = path.join(folder, 'build/Release/vfio.node');
    refuseNewer(file, made);
    mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
    copyFileSync(made, path.join(root, file));
    console.error(file);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function glibc({ gnu }) {
  return { CXX: `${gnu}-linux-gnu-g++`, LDFLAGS: '-s' };
}

/**
 * Debian has no C++ compiler for musl. Its own one does, with musl's C headers in the place of glibc's: those of libstdc++
 * before them, then those of the compiler, and of what else it searches the kernel's alone.
 */
function musl({ gnu }, folder) {
  const CXX = `${gnu}-linux-gnu-g++`;
  const { stderr } = spawnSync(CXX, ['-E', '-v', '-x', 'c++', '/dev/null'], { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } });
  const searched = stderr
    .slice(stderr.indexOf('#include <...>'), stderr.indexOf('End of search list'))
    .split('\n')
    .filter((line) => line.startsWith(' '))
    .map((line) => path.normalize(line.trim()));
  const ofLibrary = searched.filter((place) => /\/c\+\+(\/|$)/.test(place));
  const ofCompiler = searched.filter((place) => /\/gcc(-cross)?\//.test(place) && !ofLibrary.includes(place));
  const ofKernel = path.join(folder, 'kernel');
  mkdirSync(ofKernel);
  for (const name of ['linux', 'asm', 'asm-generic']) {
    const place = searched.map((place) => path.join(place, name)).find((place) => existsSync(place));
    if (place) symlinkSync(place, path.join(ofKernel, name));
  }
  const headers = [...ofLibrary, `/usr/include/${gnu}-linux-musl`, ...ofCompiler, ofKernel].map((place) => `-isystem ${place}`);
  return {
    CXX,
    CXXFLAGS: `-nostdinc -include ${path.join(root, 'native/musl.h')} ${headers.join(' ')}`,
    // Nothing of glibc: musl's libc.so, and of libstdc++ the name alone, which is musl's where this is loaded.
    LDFLAGS: `-s -nostdlib -Wl,--no-as-needed -L/usr/lib/${gnu}-linux-musl -lc -l:libstdc++.so.6 -lgcc`,
  };
}

/** Versions of symbols that are newer than `oldest` would keep the addon from loading where Node runs. */
function refuseNewer(file, built) {
  const { stdout, error } = spawnSync('readelf', ['--version-info', '--wide', built], { encoding: 'utf8' });
  if (error) throw error;
  const order = new Intl.Collator('en', { numeric: true });
  const newer = [...new Set(stdout.match(/\b(GLIBC|GLIBCXX|CXXABI)_[\d.]+/g))].filter((needed) => {
    const [name, version] = needed.split('_');
    return order.compare(version, oldest[name]) > 0;
  });
  if (newer.length > 0) throw new Error(`${file} would need ${newer.join(', ')}, which is newer than what Node 20 needs.`);
}
