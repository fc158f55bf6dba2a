// Runs node-gyp: the one that npm brings, else the one installed beside this package, else the one in the PATH.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

/** How `node-gyp rebuild` in `folder` ended, as spawnSync says it. */
export function rebuild(folder, { options = [], environment = {}, stdio = 'inherit' } = {}) {
  const [command, ...first] = nodeGyp();
  return spawnSync(command, [...first, 'rebuild', ...options], {
    cwd: folder,
    stdio,
    env: { ...process.env, ...headers(), ...environment },
    encoding: 'utf8',
  });
}

function nodeGyp() {
  const given = process.env.npm_config_node_gyp;
  if (given) return [process.execPath, given];
  try {
    return [process.execPath, createRequire(import.meta.url).resolve('node-gyp/bin/node-gyp.js')];
  } catch {
    return ['node-gyp'];
  }
}

/** Node's headers are usually installed with Node: no need to download them. */
function headers() {
  const prefix = path.resolve(process.execPath, '../..');
  if (process.env.npm_config_nodedir || !existsSync(path.join(prefix, 'include/node/node_api.h'))) return {};
  return { npm_package_config_node_gyp_nodedir: prefix };
}
