/**
 * The header is the judge of lib/abi: a C program made from the declarations is compiled against real kernel headers,
 * and what it prints is compared, line by line, with what the declarations say.
 *
 * VFIO_HEADERS is a list of header folders, separated by colons; without it, the system's own. In the lab's cache each
 * kernel has its own: `npm run lab -- --kernel 6.12 --print-headers`.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import * as abi from '../../lib/abi/index.js';
import type { Request } from '../../lib/abi/ioctl.js';
import type { StructType } from '../../lib/abi/struct.js';
import { headerNames, headersIn, readHeaders } from '../support/header-names.js';

const folders = process.env['VFIO_HEADERS']?.split(':') ?? ['/usr/include'].filter((folder) => existsSync(`${folder}/linux/vfio.h`));

const declarations = Object.entries(abi);
const structs = declarations.flatMap(([, value]) => (isStruct(value) ? [value] : []));
const requests = declarations.flatMap(([, value]) => (isRequest(value) ? [value] : []));
const constants = declarations.flatMap(([name, value]) =>
  /^(__)?[A-Z][A-Za-z0-9]*_\w+$/.test(name) && ['number', 'string'].includes(typeof value)
    ? [[name, value as number | string] as const]
    : [],
);

function isStruct(value: unknown): value is StructType {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'struct';
}
function isRequest(value: unknown): value is Request {
  return typeof value === 'object' && value !== null && 'number' in value && 'on' in value;
}

/** Versions as numbers that compare. */
const order = (version: string): number => version.split('.').reduce((sum, part) => sum * 1000 + Number(part), 0);

it('there are headers to check against, and much to check', () => {
  expect(folders.length).toBeGreaterThan(0);
  expect(structs.length).toBeGreaterThan(15);
  expect(requests.length).toBe(abi.requests.length);
  expect(constants.length).toBeGreaterThan(130);
});

describe.each(folders)('%s', (folder) => {
  const header = readHeaders(folder);
  const code = Number(/LINUX_VERSION_CODE (\d+)/.exec(readFileSync(`${folder}/linux/version.h`, 'utf8'))?.[1]);
  const version = `${code >> 16}.${(code >> 8) & 0xff}`;
  /** Whether a header of this version has the name, by what we say of its history. */
  const has = (name: string, since = abi.introduced[name] ?? (/^IOMMU|^iommu/.test(name) ? abi.iommufdSince : undefined)): boolean => {
    const gone = abi.removed[name];
    return (since === undefined || order(version) >= order(since)) && (gone === undefined || order(version) < order(gone));
  };

  /** The struct's text, members and attributes. */
  const bodyOf = (name: string): string => new RegExp(`^struct ${name} \\{[\\s\\S]*?^\\}.*;`, 'm').exec(header)?.[0] ?? '';

  it(`is Linux ${version}: sizes, offsets, constants and request numbers agree`, () => {
    const expected: string[] = [];
    const program = [
      '#include <stdio.h>',
      '#include <stddef.h>',
      '#include <fcntl.h>',
      '#include <errno.h>',
      '#include <sys/mman.h>',
      '#include <linux/mman.h>',
      '#include <sys/eventfd.h>',
      ...headersIn(folder).map((file) => `#include <linux/${file}>`),
      '#include <linux/pci_regs.h>',
      'int main(void) {',
    ];
    const fact = (text: string, expression: string, value: number | bigint): void => {
      program.push(`printf("${text} = %llu\\n", (unsigned long long)(${expression}));`);
      expected.push(`${text} = ${value}`);
    };
    for (const type of structs) {
      if (!has(type.name)) continue;
      if (type.layout.every(({ field }) => !('since' in field) || has('', field.since))) {
        fact(`sizeof ${type.name}`, `sizeof(struct ${type.name})`, type.size);
        if (!bodyOf(type.name).includes('packed')) fact(`alignof ${type.name}`, `_Alignof(struct ${type.name})`, type.alignment);
      }
      for (const { name, offset, field } of type.layout) {
        if ('since' in field && !has('', field.since)) continue;
        fact(`offsetof ${type.name}.${name}`, `offsetof(struct ${type.name}, ${name})`, offset);
        if (field.kind !== 'flexible') fact(`sizeof ${type.name}.${name}`, `sizeof(((struct ${type.name} *)0)->${name})`, field.size);
      }
    }
    for (const { name, number } of requests) if (has(name)) fact(name, name, number);
    for (const [name, value] of constants) {
      if (!has(name)) continue;
      if (typeof value === 'string') {
        program.push(`printf("${name} = %s\\n", ${name});`);
        expected.push(`${name} = ${value}`);
      } else {
        // Constants are 32 bits in C; the cast keeps bit 31 from becoming a sign.
        const past = abi.earlier[name];
        fact(name, `(unsigned int)(${name})`, past !== undefined && order(version) < order(past.before) ? past.value : value);
      }
    }
    for (const [name, value] of Object.entries(abi.errno)) fact(name, name, value);
    program.push('return 0; }');
    expect(run(folder, program.join('\n'))).toBe(`${expected.join('\n')}\n`);
  });

  it('has no name that is not declared', () => {
    const names = headerNames(header);
    expect(names.length).toBeGreaterThan(200);
    expect(names.filter((name) => !(name in abi))).toEqual([]);
  });

  it('has nothing earlier or longer than the declarations say', () => {
    const present = (name: string): boolean => new RegExp(`\\b${name}\\b`).test(header);
    const names = [...Object.keys(abi.introduced), ...Object.keys(abi.removed)];
    expect(names.filter(present)).toEqual(names.filter((name) => has(name)));
    for (const type of structs) {
      const body = bodyOf(type.name);
      for (const { name, field } of type.layout) {
        // What is kept free is called the same everywhere.
        if ('since' in field && !name.startsWith('__reserved'))
          expect([type.name, name, new RegExp(`\\b${name};`).test(body)]).toEqual([type.name, name, has('', field.since)]);
      }
    }
  });
});

function run(folder: string, source: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'vfio-headers-'));
  try {
    const file = join(directory, 'facts');
    writeFileSync(`${file}.c`, source);
    execFileSync('cc', ['-D_GNU_SOURCE', `-I${folder}`, '-o', file, `${file}.c`]);
    return execFileSync(file, { encoding: 'utf8' });
  } finally {
    rmSync(directory, { recursive: true });
  }
}
