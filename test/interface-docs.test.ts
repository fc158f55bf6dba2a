/** docs/interface.md is complete: every name of the headers has a row, and what a row says can be found. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import * as abi from '../lib/abi/index.js';
import * as vfio from '../lib/index.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

/** The constants, requests and structs of linux/vfio.h, vfio_ccw.h, vfio_zdev.h and iommufd.h: test/abi holds them to be all. */
const declared = Object.entries(abi).flatMap(([name, value]) =>
  /^(?:(?:__)?(?:VFIO|vfio|ccw)|IOMMU|IOMMUFD|iommu|iommufd)_/.test(name) && ['number', 'string', 'object'].includes(typeof value)
    ? [name]
    : [],
);

const known = new Set(declared);

const columns = ['Name', 'Structs', 'API', 'Tested', 'Linux'] as const;
type Row = Readonly<Record<(typeof columns)[number], string>>;

/** The rows of every table, and the text between them. */
function readPage(text: string): { headers: string[][]; rows: Row[] } {
  const headers: string[][] = [];
  const rows: Row[] = [];
  let header: string[] | undefined;
  for (const line of text.split('\n')) {
    const cells = /^\|.*\|$/.test(line)
      ? line
          .slice(1, -1)
          .split('|')
          .map((cell) => cell.trim())
      : undefined;
    if (cells === undefined) header = undefined;
    else if (header === undefined) headers.push((header = cells));
    else if (!cells.every((cell) => /^-+$/.test(cell)))
      rows.push(Object.fromEntries(columns.map((column) => [column, cells[header?.indexOf(column) ?? -1] ?? ''])) as Row);
  }
  return { headers, rows };
}

const { headers, rows } = readPage(read('docs/interface.md'));
const quoted = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code ?? '');
const namesOf = (row: Row): string[] => [...quoted(row.Name), ...quoted(row.Structs)];
const isStruct = (name: string): boolean => /^(?:vfio|ccw|iommu|iommufd)_/.test(name);

it('there are tables, with the columns the page explains', () => {
  expect(rows.length).toBeGreaterThan(150);
  for (const header of headers) expect(header).toEqual(columns.filter((column) => column !== 'Structs' || header.includes(column)));
});

it('every name of the headers has a row', () => {
  expect(declared.length).toBeGreaterThan(280);
  const named = new Set(rows.flatMap(namesOf));
  expect(declared.filter((name) => !named.has(name))).toEqual([]);
});

it('no row names what there is not', () => {
  expect(rows.flatMap(namesOf).filter((name) => !known.has(name))).toEqual([]);
  expect(rows.filter((row) => namesOf(row).length === 0)).toEqual([]);
  expect(rows.flatMap((row) => quoted(row.Structs)).filter((name) => !isStruct(name))).toEqual([]);
});

it('what is said of tests is simulated + real, or less with a reason', () => {
  expect(
    rows.map((row) => row.Tested).filter((text) => !/^(?:simulated \+ real(?:: \S.*)?|(?:simulated|bytes): \S.*)$/.test(text)),
  ).toEqual([]);
});

it('the versions are those that the headers confirm, where they do', () => {
  for (const row of rows) {
    for (const name of namesOf(row)) {
      const [first, last] = row.Linux.split(' to ');
      // The first headers of all that have linux/iommufd.h are those of 6.2.
      const oldest = /^iommu/i.test(name) ? /^6\.2$/ : /^(?:[345]\.\d+|6\.[01])$/;
      expect([name, first]).toEqual([name, abi.introduced[name] ?? expect.stringMatching(oldest)]);
      // The last version that has it is the one before the first without.
      const [major, minor] = abi.removed[name]?.split('.').map(Number) ?? [];
      expect([name, last]).toEqual([name, minor === undefined ? undefined : `${major}.${minor - 1}`]);
    }
  }
});

/** The file that declares the members of what a path leads to. */
const homes: Readonly<Record<string, string>> = {
  container: 'container',
  'container.info()': 'type1-info',
  'container.trackDirtyPages()': 'dirty-tracking',
  Cdev: 'cdev',
  cdev: 'cdev',
  group: 'group',
  'group.status()': 'group',
  device: 'device',
  'device.info': 'device',
  'device.features': 'features',
  'device.region()': 'region',
  'device.region().info': 'region',
  'device.interrupt()': 'interrupts',
  'device.interrupt().info': 'interrupts',
  'device.hotResetInfo()': 'hot-reset',
  'device.graphics': 'graphics',
  'device.logDma()': 'dma-log',
  'device.migration': 'migration',
  'device.migration.setState()': 'migration-data',
  'device.migration.setState().preCopyInfo()': 'migration-data',
  Spapr: 'spapr',
  spapr: 'spapr',
  'spapr.info()': 'spapr',
  'spapr.eeh': 'eeh',
  iommufd: '../iommufd/iommufd',
  ioas: '../iommufd/ioas',
  pageTable: '../iommufd/page-table',
  'pageTable.trackDirtyPages()': '../iommufd/page-table-dirty-tracking',
  nestedPageTable: '../iommufd/nested-page-table',
  viommu: '../iommufd/virtual-iommu',
  pageRequestGroup: '../iommufd/fault-queue',
  pageRequest: '../iommufd/fault-queue',
};
const resource = read('lib/kernel/resource.ts');

/** Whether a step of a path is there: a method where it is called, else something to read. */
function isDeclared(owner: string, step: string): boolean {
  const home = homes[owner];
  if (home === undefined) return false;
  const name = step.replace('()', '');
  const declaration = step.endsWith('()') ? `^  (?:static |async )?${name}(?:<\\w+>)?\\(` : `^  (?:readonly ${name}\\??:|get ${name}\\()`;
  return new RegExp(declaration, 'm').test(read(`lib/vfio/${home}.ts`) + resource);
}

it('the API is there', () => {
  const isThere = (path: string): boolean => {
    const [first = '', ...steps] = path.split('.');
    if (steps.length === 0) return first.endsWith('()') && first.slice(0, -2) in vfio;
    return steps.every((step, index) => isDeclared([first, ...steps.slice(0, index)].join('.'), step));
  };
  for (const { API } of rows) {
    expect(API).toMatch(/^(?:`|— \(.+\)$)/);
    for (const path of quoted(API)) expect([path, isThere(path)]).toEqual([path, true]);
  }
});
