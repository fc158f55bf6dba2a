/**
 * Makes one file, dist/cli/vfio.cjs, of what `vfio list` and the parsing of every command need: to find and load the files of
 * packages one by one takes longer than all of that does. What the other commands do stays where it is and is loaded when it is
 * wanted.
 */
import { chmodSync, readFileSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { build } from 'esbuild';

const folder = 'dist/cli';
const outfile = `${folder}/vfio.cjs`;
/** Of what is loaded on demand, what is there at once. */
const atOnce = /\/list(\/list)?\.js$/;
const onDemand = {
  name: 'on demand',
  setup({ onResolve }) {
    onResolve({ filter: /^\./ }, ({ kind, path, resolveDir }) => {
      if (kind !== 'dynamic-import' || atOnce.test(path)) return undefined;
      const place = relative(folder, resolve(resolveDir, path));
      return { path: place.startsWith('.') ? place : `./${place}`, external: true };
    });
  },
};
const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
/** What would only take a while to load, and what there is in its place. */
const leftOut = {
  // Commander starts sub-commands with it that are programs of their own: `vfio` has no such commands.
  'node:child_process': '',
  // Hints are about ioctls and nodes of devices. A list makes none and opens none; the other commands have a copy of their own.
  './hints.js': 'export const hint = () => ({ text: undefined, checks: [] });',
  './version.js': `export const version = ${JSON.stringify(version)};`,
};
const leave = {
  name: 'left out',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(node:child_process|\.\/(hints|version)\.js)$/ }, ({ path }) => ({ path, namespace: 'left out' }));
    onLoad({ filter: /.*/, namespace: 'left out' }, ({ path }) => ({ contents: leftOut[path] }));
  },
};

await build({
  entryPoints: ['dist/cli/main.js'],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20',
  minify: true,
  plugins: [leave, onDemand],
  logLevel: 'warning',
});
chmodSync(outfile, 0o755);
