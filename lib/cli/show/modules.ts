import { readTextIfAny, type WithFiles } from '../../pci/sysfs.js';

/**
 * The modules of the running kernel that say they can drive what has that alias, 'pci:v00008086d…', from modules.alias, which
 * depmod(8) writes; none where there is no such file.
 */
export function modulesFor(kernel: WithFiles, alias: string): string[] {
  const release = readTextIfAny(kernel, '/proc/sys/kernel/osrelease');
  const table = release === undefined ? undefined : readTextIfAny(kernel, `/lib/modules/${release}/modules.alias`);
  const vendor = /^pci:v([0-9A-F]{8})/.exec(alias)?.[1];
  if (table === undefined || vendor === undefined) return [];
  // Of the many thousands, few are of the vendor or of all.
  const lines = table.matchAll(new RegExp(`^alias (pci:v(?:\\*|${vendor})\\S*) (\\S+)$`, 'gm'));
  return [...new Set([...lines].filter(([, pattern = '']) => matches(pattern, alias)).map(([, , module = '']) => module))].sort();
}

/** Patterns have a star for any text, and sets of characters. */
function matches(pattern: string, alias: string): boolean {
  return new RegExp(`^${pattern.replaceAll('*', '.*').replaceAll('?', '.')}$`).test(alias);
}
