// npm's install script: makes sure that there is an addon that loads, building it if need be.
//
// It never fails an installation. The simulated kernel needs no addon, and the real one explains at its first use what
// is missing.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { rebuild } from './node-gyp.mjs';

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
  const result = rebuild(root);
  if (result.status === 0 && loads()) return;
  const reason =
    result.error?.message ?? (result.status === 0 ? 'what was built does not load' : `node-gyp ended with status ${result.status}`);
  console.error(`
vfio: the addon was not built: ${reason}.
The package is installed and its simulated kernel works; the real kernel needs the addon.
To build it: install a C++ compiler, make and Python (on Debian: apt-get install build-essential python3), then type
  npm rebuild vfio --foreground-scripts      (in a checkout of vfio: npm run install)
If node-gyp could not fetch the headers of Node, set npm_config_nodedir to the folder where Node is installed with include/node.
`);
}
