/** Who may import whom, and what stands where. Each rule says what to do instead. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const lib = join(root, 'lib');

interface Source {
  /** 'sim/kernel.ts' */
  readonly path: string;
  /** 'sim', or 'open.ts' for a file that is a room of its own. */
  readonly room: string;
  readonly text: string;
  /** Paths below lib, or package names; imports of types too. */
  readonly imports: readonly string[];
}

const sources: Source[] = readdirSync(lib, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => {
    const text = readFileSync(join(lib, path), 'utf8');
    const imports = [...text.matchAll(/^(?:import|export)\s[^;'"]*?from\s+'([^']+)'/gms)].map(([, target = '']) =>
      target.startsWith('.') ? relative(lib, join(lib, dirname(path), target)).replace(/\.js$/, '.ts') : target,
    );
    return { path, room: roomOf(path), text, imports };
  });

function roomOf(path: string): string {
  return path.includes('/') ? path.split('/')[0]! : path;
}

/** What each room may import; a path stands for that file alone. */
const allowed: Record<string, readonly string[]> = {
  abi: [],
  kernel: ['abi'],
  sim: [
    'abi',
    'registers',
    ...['kernel', 'error', 'around', 'audit', 'call-text', 'clock', 'counter', 'fail', 'stepwise-mmio'].map((file) => `kernel/${file}.ts`),
  ],
  pci: ['kernel', 'abi/pci.ts'],
  memory: ['abi', 'kernel'],
  vfio: ['abi', 'kernel', 'memory', 'pci'],
  iommufd: ['abi', 'kernel', 'memory'],
  registers: ['kernel/error.ts', 'kernel/stepwise-mmio.ts'],
  driver: ['abi', 'kernel', 'memory', 'registers'],
  'open.ts': ['vfio', 'iommufd', 'memory', 'pci', 'kernel', 'abi/vfio/container.ts'],
  'index.ts': ['abi', 'kernel', 'memory', 'pci', 'vfio', 'iommufd', 'open.ts', 'diagnosis'],
  lab: [],
  diagnosis: ['abi', 'kernel', 'pci'],
  cli: [...['abi', 'kernel', 'memory', 'pci', 'vfio', 'iommufd', 'open.ts', 'index.ts'], ...['sim', 'diagnosis', 'lab']],
};

describe('rooms', () => {
  it.each(sources.map((source) => [source.path, source] as const))('%s imports only what its room may', (_path, { room, imports }) => {
    const rules = allowed[room];
    expect(rules, `the room ${room} has no row in the table`).toBeDefined();
    for (const target of imports.filter((target) => target.endsWith('.ts'))) {
      const fine = roomOf(target) === room || rules!.includes(roomOf(target)) || rules!.includes(target);
      expect(
        fine,
        `${room} may not import ${target}; it may import ${rules!.join(', ') || 'nothing'}. Move the code, or pass the thing in`,
      ).toBe(true);
    }
  });

  it('no file is imported by what it imports', () => {
    const graph = new Map(sources.map(({ path, imports }) => [path, imports.filter((target) => target.endsWith('.ts'))]));
    const done = new Set<string>();
    const visit = (path: string, trail: readonly string[]): void => {
      if (trail.includes(path))
        throw new Error(`A cycle: ${[...trail.slice(trail.indexOf(path)), path].join(' -> ')}. Take what both need into a third file`);
      if (done.has(path)) return;
      for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
      done.add(path);
    };
    for (const path of graph.keys()) visit(path, []);
  });
});

describe('places', () => {
  const importers = (pattern: RegExp): string[] =>
    sources.filter(({ imports }) => imports.some((target) => pattern.test(target))).map(({ path }) => path);
  /** Code without comments and strings' contents kept. */
  const code = ({ text }: Source): string => text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');

  it('only kernel/native.ts loads the addon; take a Kernel as an argument instead', () => {
    expect(sources.filter((source) => /node-gyp-build|createRequire|\.node['"]/.test(code(source))).map(({ path }) => path)).toEqual([
      'kernel/native.ts',
    ]);
  });

  it('only the real kernel and the lab touch files; use kernel.files instead', () => {
    expect(importers(/^node:fs/).filter((path) => !/^(lab|cli)\//.test(path))).toEqual(['kernel/real-files.ts']);
  });

  it('only abi defines request numbers and kernel names; import them instead', () => {
    const outside = sources.filter(({ room }) => room !== 'abi' && room !== 'lab');
    for (const source of outside) {
      expect([source.path, /\b_IO\(|0x3b[0-9a-f]{2}\b/.exec(code(source))?.[0]]).toEqual([source.path, undefined]);
      expect([source.path, /(const|let)\s+(VFIO|IOMMU)_\w+/.exec(code(source))?.[0]]).toEqual([source.path, undefined]);
    }
  });

  it('production code imports nothing of the tests', () => {
    expect(importers(/\.\.\/test|vitest|fast-check/)).toEqual([]);
  });

  it('errors are never swallowed', () => {
    for (const source of sources)
      expect([source.path, /catch\s*(\([^)]*\))?\s*\{\s*\}/.exec(code(source))?.[0]]).toEqual([source.path, undefined]);
  });

  it('the addon can not end the process', () => {
    for (const name of readdirSync(join(root, 'native')).filter((file) => /\.(cc|h)$/.test(file))) {
      const text = readFileSync(join(root, 'native', name), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
      expect([name, /\b(exit|abort|assert)\s*\(/.exec(text)?.[0]]).toEqual([name, undefined]);
    }
  });

  it('examples import only the package', () => {
    for (const name of readdirSync(join(root, 'examples'), { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))) {
      const text = readFileSync(join(root, 'examples', name), 'utf8');
      for (const [, target] of text.matchAll(/from '([^']+)'/g))
        expect([name, target]).toEqual([
          name,
          expect.stringMatching(/^(\.{1,2}\/(tools\/)?[\w-]+\.js|vfio(\/(abi|sim|pci|driver|vsva-2020))?|node:[\w/]+|cli-progress)$/),
        ]);
    }
  });

  it('no file is two subjects: 450 lines are enough', () => {
    for (const { path, text } of sources) expect([path, text.split('\n').length > 450]).toEqual([path, false]);
  });
});
