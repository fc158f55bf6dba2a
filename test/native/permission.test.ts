/** Node's permission model, and what the addon does under it. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { addonPath, root } from './support.js';

/** What a program says that opens a file of the system by the kernel, with Node's own files and then with ours. */
function underPermission(...flags: string[]): string {
  const source = `
    import { readFileSync } from 'node:fs';
    import { native } from ${JSON.stringify(join(root, 'dist/index.js'))};
    const told = (action) => { try { return action(); } catch (error) { return error.code + ' ' + error.message; } };
    console.log(told(() => readFileSync('/proc/version').length > 0), told(() => native().open('/proc/version', 0) > 0));`;
  const permission = process.allowedNodeEnvironmentFlags.has('--permission') ? '--permission' : '--experimental-permission';
  const { stdout } = spawnSync(process.execPath, [permission, ...flags, '--input-type=module', '-e', source], {
    encoding: 'utf8',
    env: { ...process.env, VFIO_ADDON: addonPath },
  });
  return stdout;
}

it('is asked for addons, and an error says so', () => {
  expect(underPermission(`--allow-fs-read=${root}/*`)).toMatch(
    /^ERR_ACCESS_DENIED .* ERR_VFIO_ADDON Node was started with --permission.*--allow-addons/s,
  );
});

it('is none for an addon that it lets load: that opens what the user may', () => {
  expect(underPermission(`--allow-fs-read=${root}/*`, '--allow-addons')).toMatch(/^ERR_ACCESS_DENIED .* true\n$/s);
});
