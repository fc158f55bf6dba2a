/** Every export, as programs of each kind import it. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, inject, it } from 'vitest';
import { root } from '../support/root.js';
import { done, environment, run } from './support.js';

const { folder } = inject('packed');
const installed = join(folder, 'installed');
const env = environment(folder);
const { exports } = JSON.parse(readFileSync(join(installed, 'node_modules/vfio/package.json'), 'utf8')) as {
  exports: Record<string, object | string>;
};
const places = Object.keys(exports)
  .filter((place) => place !== './package.json')
  .map((place) => place.replace('.', 'vfio'));

describe('JavaScript', () => {
  const counts = (name: string, lines: readonly string[]): Record<string, number> => {
    writeFileSync(join(installed, name), `${lines.join('\n')}\nconsole.log(JSON.stringify(counts));`);
    return JSON.parse(done(process.execPath, [name], { cwd: installed, env })) as Record<string, number>;
  };

  it('has by require what it has by import', () => {
    const imported = counts('all.mjs', [
      'const counts = {};',
      ...places.map((place) => `counts['${place}'] = Object.keys(await import('${place}')).length;`),
    ]);
    const required = counts('all.cjs', [
      'const counts = {};',
      ...places.map((place) => `counts['${place}'] = Object.keys(require('${place}')).filter((name) => name !== '__esModule').length;`),
    ]);
    expect(places.length).toBeGreaterThan(5);
    expect(Object.entries(imported).filter(([, count]) => count === 0)).toEqual([]);
    expect(required).toEqual(imported);
  });

  it('has no other files to import', () => {
    writeFileSync(join(installed, 'inner.mjs'), `import 'vfio/dist/index.js';`);
    expect(run(process.execPath, ['inner.mjs'], { cwd: installed, env }).stderr).toContain('ERR_PACKAGE_PATH_NOT_EXPORTED');
  });
});

describe('TypeScript', () => {
  const program = `${places.map((place, index) => `import * as place${index} from '${place}';\nconsole.log(place${index});`).join('\n')}
import { native, openDevice, type Kernel, type OpenDevice } from 'vfio';
import { Edu, Machine } from 'vfio/sim';
const kernel: Kernel = process.argv.includes('--real') ? native() : new Machine({ devices: [{ model: new Edu() }] }).kernel;
const opened: OpenDevice = openDevice(kernel, '0000:00:03.0');
const value: number = opened.device.region(0).mmio.read32(0);
opened.close();
`;
  const mistake = `\nexport const wrong: string = value;\n`;
  const compile = (name: string, file: string, text: string, options: object): ReturnType<typeof run> => {
    const place = join(installed, name);
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, file), text);
    const compilerOptions = {
      strict: true,
      noEmit: true,
      target: 'es2022',
      skipLibCheck: false,
      types: ['node'],
      typeRoots: [join(root, 'node_modules/@types')],
      ...options,
    };
    writeFileSync(join(place, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: [file] }));
    return run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', place], { cwd: installed, env });
  };

  it.each([
    ['nodenext', 'program.mts', { module: 'nodenext' }],
    ['nodenext-commonjs', 'program.cts', { module: 'nodenext' }],
    ['bundler', 'program.ts', { module: 'esnext', moduleResolution: 'bundler' }],
  ])('strict, every library checked, %s', (name, file, options) => {
    expect(compile(name, file, program, options)).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(compile(name, file, program + mistake, options).stdout).toContain("Type 'number' is not assignable to type 'string'");
  });
});
