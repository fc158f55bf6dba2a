import { existsSync, readFileSync } from 'node:fs';

/** The headers that lib/abi declares. */
const headerFiles = ['vfio.h', 'vfio_ccw.h', 'vfio_zdev.h', 'iommufd.h'];

/** Those of them that a folder has: iommufd's came with Linux 6.2. */
export function headersIn(folder: string): string[] {
  return headerFiles.filter((file) => existsSync(`${folder}/linux/${file}`));
}

export function readHeaders(folder: string): string {
  return headersIn(folder)
    .map((file) => readFileSync(`${folder}/linux/${file}`, 'utf8'))
    .join('\n');
}

/** Names that stay inside a header: its guards, and lengths of arrays, which the declarations have as numbers. */
const internal = /_H_?$|^(ORB|SCSW|IRB|SCHIB)_AREA_SIZE$/;

/** Constants, enumerators and structs of a header's text. Macros with arguments are code, not names of values. */
export function headerNames(header: string): string[] {
  const text = header.replace(/\/\*[\s\S]*?\*\//g, '');
  const macros = [...text.matchAll(/^#define[ \t]+(\w+)[ \t]+\S/gm)].map(([, name]) => name ?? '');
  const structs = [...text.matchAll(/^struct (\w+) \{/gm)].map(([, name]) => name ?? '');
  const enumerators = [...text.matchAll(/enum\s*\w*\s*\{([^}]*)\}/g)].flatMap(([, body]) =>
    (body ?? '').split(',').flatMap((member) => /^\s*(\w+)/.exec(member)?.[1] ?? []),
  );
  return [...new Set([...macros, ...structs, ...enumerators])].filter((name) => !internal.test(name));
}
