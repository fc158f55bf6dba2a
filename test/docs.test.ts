/**
 * Every TypeScript block of README and docs compiles as a user would compile it. Those that ask for a real kernel end
 * there; the others run, and a comment behind `console.log(…)` is what it must print.
 *
 * A block that begins with `// main.ts` is that file of the page's program, one with `// main.ts, continued` the next part of
 * it: it finds the program's files as they are by then. Any other block is a program of its own.
 */
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseMachine } from '../lib/sim/index.js';
import { fencedBlocks, fileOfBlock } from './support/fenced.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
/** Inside the package, so that a block's `vfio` is this one. */
const folder = join(root, 'dist/docs-test');
const markdown = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'));
const pages = ['README.md', ...markdown.map((name) => `docs/${name}`)];

interface Block {
  readonly name: string;
  /** What is run, from the folder. */
  readonly file: string;
  readonly code: string;
  /** Everything there is then, by name, from the folder. */
  readonly files: Readonly<Record<string, string>>;
}

function blocksOf(page: string): Block[] {
  const program = new Map<string, string>();
  return fencedBlocks(readFileSync(join(root, page), 'utf8'), 'ts').map((code, index) => {
    const place = `${page.replaceAll(/\W/g, '-')}-${index + 1}`;
    const name = `${page} block ${index + 1}`;
    const part = fileOfBlock(code);
    if (part === undefined) return { name, file: `${place}.ts`, code, files: { [`${place}.ts`]: code } };
    const { file, continued } = part;
    if (continued && !program.has(file)) throw new Error(`${name} continues ${file}, which did not begin`);
    program.set(file, (continued ? program.get(file) : '') + code);
    const files = Object.fromEntries([...program].map(([each, text]) => [`${place}/${each}`, text]));
    return { name, file: `${place}/${file}`, code, files };
  });
}

const blocks = pages.flatMap(blocksOf);

beforeAll(async () => {
  const files = blocks.flatMap((block) => Object.entries(block.files));
  for (const [file, text] of files) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), text);
  }
  const entryPoints = files.map(([file]) => join(folder, file));
  await build({ entryPoints, outdir: folder, outbase: folder, format: 'esm', target: 'node20', platform: 'node' });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('there are blocks', () => expect(blocks.length).toBeGreaterThan(8));

it('those of JSON are machines', () => {
  const texts = pages.flatMap((page) => fencedBlocks(readFileSync(join(root, page), 'utf8'), 'json'));
  expect(texts.length).toBeGreaterThan(0);
  for (const text of texts) expect(() => parseMachine(text)).not.toThrow();
});

it('all of them compile', () => {
  const options = {
    compilerOptions: {
      target: 'ES2022',
      lib: ['ES2023', 'ESNext.Disposable'],
      module: 'nodenext',
      types: ['node'],
      strict: true,
      noEmit: true,
      skipLibCheck: true,
    },
    include: ['**/*.ts'],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(options));
  const compile = (): string => execFileSync('npx', ['tsc', '-p', folder], { cwd: root, encoding: 'utf8' });
  expect(compile).not.toThrow();
}, 60_000);

// Each is a process of its own.
describe('runs', { timeout: 60_000 }, () => {
  const runnable = blocks.filter(({ code }) => !/^[^/\n]*\bnative\(\)/m.test(code));
  it.each(runnable.map((block) => [block.name, block] as const))('%s', async (_name, { file, code }) => {
    const { stdout } = await promisify(execFile)(process.execPath, [join(folder, file.replace(/ts$/, 'js'))], { cwd: root });
    const promised = [...code.matchAll(/console\.log\(.*\); \/\/ (.+)$/gm)].map(([, text]) => text);
    expect(stdout.split('\n')).toEqual(expect.arrayContaining(promised));
  });
});
