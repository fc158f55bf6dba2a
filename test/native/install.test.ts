import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { root } from './support.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'install-'));
  mkdirSync(path.join(folder, 'native'));
  for (const script of ['native/install.mjs', 'native/node-gyp.mjs']) cpSync(path.join(root, script), path.join(folder, script));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Runs the script with `nodeGyp`, a program that stands for node-gyp. */
function install(nodeGyp: string, preload?: string): { status: number | null; output: string } {
  const program = path.join(folder, 'node-gyp.js');
  writeFileSync(program, nodeGyp);
  const { npm_config_nodedir: _, LD_PRELOAD: __, ...env } = process.env;
  const flags = preload === undefined ? [] : ['--import', `data:text/javascript,${encodeURIComponent(preload)}`];
  const { status, stdout, stderr } = spawnSync(process.execPath, [...flags, 'native/install.mjs'], {
    cwd: folder,
    encoding: 'utf8',
    env: { ...env, npm_config_node_gyp: program },
  });
  return { status, output: stdout + stderr };
}

const pretendLoader = (loads: string): void => {
  mkdirSync(path.join(folder, 'node_modules/node-gyp-build'), { recursive: true });
  writeFileSync(path.join(folder, 'node_modules/node-gyp-build/index.js'), `module.exports = (root) => { ${loads} };`);
};

describe('the install script', () => {
  it('does nothing if an addon loads', () => {
    pretendLoader('');
    expect(install(`console.log('built')`)).toEqual({ status: 0, output: '' });
  });

  it('builds with the node-gyp of npm, and the headers beside node', () => {
    pretendLoader(`if (!require('node:fs').existsSync(root + '/made')) throw new Error('no build')`);
    const { status, output } = install(`
      require('node:fs').writeFileSync('made', '');
      console.log(process.argv.slice(2).join(' '), process.env.npm_package_config_node_gyp_nodedir ?? 'downloads');
    `);
    expect(status).toBe(0);
    const prefix = path.resolve(process.execPath, '../..');
    expect(['rebuild downloads\n', `rebuild ${prefix}\n`]).toContain(output);
  });

  it('a failed build does not fail the installation, and says what to type', () => {
    const { status, output } = install(`console.error('no compiler'); process.exit(7);`);
    expect(status).toBe(0);
    expect(output).toMatch(/^no compiler\n\nvfio: the addon was not built: node-gyp ended with status 7\.[\s\S]*npm rebuild vfio/);
  });

  it('says nothing on another system', () => {
    const elsewhere = `Object.defineProperty(process, 'platform', { value: 'win32' });`;
    expect(install(`process.exit(7)`, elsewhere)).toEqual({ status: 0, output: '' });
  });
});
