/** What is published. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { publint } from 'publint';
import { describe, expect, inject, it } from 'vitest';
import { root } from '../support/root.js';
import { run } from './support.js';

const { folder, tarball, files, size, unpackedSize } = inject('packed');
const installed = join(folder, 'installed/node_modules/vfio');

describe('the tarball', () => {
  it('has what runs, what builds the addon, and nothing else', () => {
    expect(
      files.filter(
        (path) =>
          !/^(package\.json|README\.md|LICENSE|CHANGELOG\.md|binding\.gyp|native\/([\w-]+\.(cc|h)|install\.mjs|node-gyp\.mjs)|man\/vfio\.1|dist\/.+\.(js|d\.ts)|dist\/cli\/vfio\.cjs)$/.test(
            path,
          ),
      ),
    ).toEqual([
      'prebuilds/linux-arm64/vfio.glibc.node',
      'prebuilds/linux-arm64/vfio.musl.node',
      'prebuilds/linux-x64/vfio.glibc.node',
      'prebuilds/linux-x64/vfio.musl.node',
    ]);
    expect(files).toEqual(
      expect.arrayContaining(['LICENSE', 'README.md', 'binding.gyp', 'native/install.mjs', 'native/mmio.cc', 'dist/index.js']),
    );
  });

  it('has no map of what it does not carry', () => {
    const scripts = files.filter((path) => /\.c?js$/.test(path));
    expect(scripts.length).toBeGreaterThan(100);
    expect(scripts.filter((path) => readFileSync(join(installed, path), 'utf8').includes('sourceMappingURL'))).toEqual([]);
  });

  it('takes less than 1.5 MB, and 5 MB unpacked', () => {
    console.log(`${files.length} files, ${size} bytes, ${unpackedSize} unpacked`);
    expect(size).toBeLessThan(1.5e6);
    expect(unpackedSize).toBeLessThan(5e6);
  });

  it('is what publint expects of a package', async () => {
    const bytes = readFileSync(tarball);
    const { messages } = await publint({ pack: { tarball: new Uint8Array(bytes).buffer }, strict: true });
    expect(messages).toEqual([]);
  });

  it('has types that fit, says attw', () => {
    const { status, stdout, stderr } = run(
      process.execPath,
      [join(root, 'node_modules/@arethetypeswrong/cli/dist/index.js'), tarball, '--profile', 'esm-only'],
      { cwd: folder },
    );
    // It ends so only where there is no problem, but for what the profile leaves out.
    expect([status, stdout, stderr]).toEqual([0, expect.stringContaining('"vfio/iommufd-rfc"'), '']);
  });
});

describe('the prebuilt addons', () => {
  const prebuilt = (name: string): string => join(installed, 'prebuilds', name);
  const said = (command: string, ...args: string[]): string => run(command, args, { cwd: folder }).stdout;
  /** Of a library: names that others find in it. */
  const offered = (library: string): string[] => said('nm', '-D', '--defined-only', library).match(/(?<= [TWBDVi] )[^@\s]+/g) ?? [];

  it.each(['x64', 'arm64'])('need no libraries but the C library and libstdc++, on %s', (processor) => {
    const needed = (name: string): string[] => (said('readelf', '-dW', prebuilt(name)).match(/(?<=NEEDED.*\[).*(?=\])/g) ?? []).sort();
    expect(needed(`linux-${processor}/vfio.glibc.node`)).toEqual(['libc.so.6', 'libstdc++.so.6']);
    expect(needed(`linux-${processor}/vfio.musl.node`)).toEqual(['libc.so', 'libstdc++.so.6']);
  });

  it.each([
    ['x64', 'x86_64'],
    ['arm64', 'aarch64'],
  ])('ask of the C library only what musl has, on %s', (processor, gnu) => {
    const there = new Set(offered(`/usr/lib/${gnu}-linux-musl/libc.so`));
    expect(there.size).toBeGreaterThan(1000);
    const asked = said('nm', '-D', '--undefined-only', prebuilt(`linux-${processor}/vfio.musl.node`)).match(/(?<= U ).+/g) ?? [];
    expect(asked).toContain('ioctl');
    // Node's, and libstdc++'s: these have a version.
    expect(asked.filter((name) => !/^(napi|node_api|uv)_|@(GLIBCXX|CXXABI)_/.test(name) && !there.has(name))).toEqual([]);
  });
});
