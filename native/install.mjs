// npm's install script: makes sure that there is an addon that loads, building it if need be.
//
// It never fails an installation. The simulated kernel needs no addon, and the real one explains at its first use what
// is missing.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const root = fileURLToPath(new URL('..', import.meta.url));

if (process.platform === 'linux' && !loads()) build();

/** Whether a prebuilt or earlier built addon loads here. */
function loads() {
  try {
    require('node-gyp-build')(root);
    return true;
  } catch {
    return false;
  }
}

function build() {
  const [command, ...first] = nodeGyp();
  const result = spawnSync(command, [...first, 'rebuild'], { cwd: root, stdio: 'inherit', env: environment() });
  if (result.status === 0 && loads()) return;
  const reason =
    result.error?.message ?? (result.status === 0 ? 'what was built does not load' : `node-gyp ended with status ${result.status}`);
  console.error(`
vfio: the addon was not built: ${reason}.
The package is installed and its simulated kernel works; the real kernel needs the addon.
To build it: install a C++ compiler, make and Python (on Debian: apt-get install build-essential python3), then type
  npm rebuild vfio --foreground-scripts
`);
}

/** The node-gyp that npm brings, else the one installed beside this package, else the one in the PATH. */
function nodeGyp() {
  const given = process.env.npm_config_node_gyp;
  if (given) return [process.execPath, given];
  try {
    return [process.execPath, require.resolve('node-gyp/bin/node-gyp.js')];
  } catch {
    return ['node-gyp'];
  }
}

/** Node's headers are usually installed with Node: no need to download them. */
function environment() {
  const prefix = path.resolve(process.execPath, '../..');
  if (process.env.npm_config_nodedir || !existsSync(path.join(prefix, 'include/node/node_api.h'))) return process.env;
  return { ...process.env, npm_package_config_node_gyp_nodedir: prefix };
}
