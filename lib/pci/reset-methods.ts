import { readTextIfAny, type WithFiles } from './sysfs.js';
import { devicesPath } from './topology.js';

/** How the kernel can reset the device alone, the first being what it tries first: 'flr', 'pm', 'bus'. Linux 5.15. */
export function resetMethods(kernel: WithFiles, address: string): string[] {
  return readTextIfAny(kernel, `${devicesPath}/${address}/reset_method`)?.split(/\s+/).filter(Boolean) ?? [];
}
