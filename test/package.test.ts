/** What is published, in a folder of its own: it imports without an addon, simulates, and says what the real kernel needs. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
let folder: string;
let files: string[];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vfio-package-'));
  const [packed] = JSON.parse(
    execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }),
  ) as { filename: string; files: { path: string }[] }[];
  files = packed!.files.map(({ path }) => path);
  const installed = join(folder, 'node_modules/vfio');
  mkdirSync(installed, { recursive: true });
  execFileSync('tar', ['-xzf', join(folder, packed!.filename), '-C', installed, '--strip-components=1']);
  for (const name of ['node-gyp-build', 'sorted-btree', 'commander', 'cli-progress'])
    symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name));
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = (code: string): string => {
  writeFileSync(join(folder, 'program.mjs'), code);
  return execFileSync(process.execPath, ['program.mjs'], { cwd: folder, encoding: 'utf8' });
};

describe('the package', () => {
  it('holds what is needed to run and to build, and nothing else', () => {
    expect(files).toEqual(
      expect.arrayContaining([
        'package.json',
        'README.md',
        'LICENSE',
        'binding.gyp',
        'native/install.mjs',
        'native/mmio.cc',
        'dist/index.js',
        'dist/index.d.ts',
      ]),
    );
    expect(
      files.filter(
        (path) =>
          !/^(package\.json|README\.md|LICENSE|CHANGELOG\.md|binding\.gyp|native\/[\w.-]+|man\/vfio\.1|dist\/.+\.(js|d\.ts|js\.map)|dist\/cli\/vfio\.cjs)$/.test(
            path,
          ),
      ),
    ).toEqual([]);
    expect(files.filter((path) => /^dist\/docs-test\//.test(path))).toEqual([]);
  });

  it('simulates without an addon', () => {
    const code = `
      import { openDevice } from 'vfio';
      import { Edu, Machine } from 'vfio/sim';
      import { parseAddress } from 'vfio/pci';
      import { VFIO_SET_IOMMU } from 'vfio/abi';
      import { VFIO_IOMMU_BIND } from 'vfio/vsva-2020';
      import { IOMMU_VFIO_IOAS } from 'vfio/iommufd-rfc';
      const { kernel } = new Machine({ devices: [{ model: new Edu() }] });
      const opened = openDevice(kernel, parseAddress('00:03.0'));
      console.log(opened.device.region(0).mmio.read32(0), VFIO_SET_IOMMU.number, VFIO_IOMMU_BIND.number, IOMMU_VFIO_IOAS.number);
      opened.close();`;
    expect(run(code)).toBe('16777453 15206 15227 15238\n');
  });

  it('has the command, which needs no addon for a simulated machine', () => {
    writeFileSync(join(folder, 'machine.json'), '{"devices": [{"model": "edu"}]}');
    const vfio = (...args: string[]): string =>
      execFileSync(process.execPath, ['node_modules/vfio/dist/cli/vfio.cjs', ...args], { cwd: folder, encoding: 'utf8' });
    expect(vfio('--sim', 'machine.json', 'list')).toContain('0000:00:03.0');
    expect(vfio('--sim', 'machine.json', 'read', '00:03.0', 'bar0', '0')).toContain('010000ed');
    expect(vfio('lab', '--help')).toContain('vfio lab -- ');
  });

  it('asked for the real kernel without an addon, says what to type', () => {
    expect(
      run(
        `import { native } from 'vfio'; try { native() } catch (error) { console.log(error.code, error.message.includes('npm rebuild vfio')) }`,
      ),
    ).toBe('ERR_VFIO_ADDON true\n');
  });

  it('asked for the real kernel on another system, says that it needs Linux', () => {
    const code = `
      Object.defineProperty(process, 'platform', { value: 'darwin' });
      const { native } = await import('vfio');
      try { native() } catch (error) { console.log(error.code, error.message) }`;
    expect(run(code)).toMatch(/^ERR_VFIO_PLATFORM .*Linux.*darwin.*vfio\/sim/);
  });
});
