/** Names of PCI's numbers, from the text that pciutils and hwdata have. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { errno } from '../../lib/abi/errno.js';
import { bytesSource, fileSource, type ByteSource } from '../../lib/cli/byte-source.js';
import { findDatabase, PciNames } from '../../lib/cli/pci-names.js';
import type { Files } from '../../lib/kernel/kernel.js';

const text = `#	comment

0010  Allied Telesis, Inc
	8139  AT-2500TX V3
8086  Intel Corporation
	10d3  82574L Gigabit Network Connection
# in between
		103c 3250  NC112T

		8086 a01f  Gigabit CT Desktop Adapter
${Array.from({ length: 2000 }, (_, index) => `	${(0x2000 + index).toString(16)}  Filler ${index}`).join('\n')}
	f1a5  SSD 600P Séries
9004  Adaptec
	8078  AIC-7880U
S 1af4
	1100  QEMU Virtual Machine
C 01  Mass storage controller
	08  Non-Volatile memory controller
		02  NVM Express
C 02  Network controller
	00  Ethernet controller
C ff  Unassigned class`;

const names = new PciNames(source(text));

function source(contents: string): ByteSource {
  return bytesSource(new TextEncoder().encode(contents));
}

describe('names', () => {
  it('of vendors and devices, the first, the last and one far down among them', () => {
    expect([0x0010, 0x8086, 0x9004, 0x1234].map((vendor) => names.vendor(vendor))).toEqual([
      ...['Allied Telesis, Inc', 'Intel Corporation', 'Adaptec', undefined],
    ]);
    expect(names.device(0x8086, 0x10d3)).toBe('82574L Gigabit Network Connection');
    expect(names.device(0x8086, 0xf1a5)).toBe('SSD 600P Séries');
    expect(names.device(0x9004, 0x8078)).toBe('AIC-7880U');
  });

  it("no vendor has another's devices", () => {
    expect(names.device(0x0010, 0x10d3)).toBeUndefined();
    expect(names.device(0x8086, 0x8078)).toBeUndefined();
    expect(names.device(0x1234, 0x8139)).toBeUndefined();
  });

  it('of subsystems, of the device itself where it is its own', () => {
    expect(names.subsystem(0x8086, 0x10d3, 0x8086, 0xa01f)).toBe('Gigabit CT Desktop Adapter');
    expect(names.subsystem(0x8086, 0x10d3, 0x103c, 0x3250)).toBe('NC112T');
    expect(names.subsystem(0x8086, 0x2000, 0x103c, 0x3250)).toBeUndefined();
    expect(names.subsystem(0x9004, 0x8078, 0x9004, 0x8078)).toBe('AIC-7880U');
  });

  it('of classes, as far as there are', () => {
    expect([0x010802, 0x020000, 0x017700, 0xff0000, 0x440000].map((code) => names.className(code))).toEqual([
      ...['Non-Volatile memory controller', 'Ethernet controller', 'Mass storage controller', 'Unassigned class', undefined],
    ]);
    expect([0x010802, 0x010803, 0x020000].map((code) => names.interfaceName(code))).toEqual(['NVM Express', undefined, undefined]);
  });

  it('there are none without a database', () => {
    expect([new PciNames().vendor(0x8086), new PciNames().className(0x010802)]).toEqual([undefined, undefined]);
  });
});

describe('a database of many blocks', () => {
  /** As many vendors as there are, of 60 bytes each: so lines are at, before and behind every border of blocks somewhere. */
  const vendors = Array.from({ length: 0x1000 }, (_, index) => index * 16 + 3);
  const sectionOf = (vendor: number): string =>
    `${id(vendor)}  Vendor ${id(vendor)}\n\t${id(vendor ^ 1)}  Device ${id(vendor)}\n\t\t0001 0002  Board\n`;
  const classes = 'C 01  Storage\n\t08  Drive\nC ff  Other\n';
  const sorted = `# first\n\n${vendors.map(sectionOf).join('')}# classes\n${classes}`;
  const unsorted = `${classes}${vendors.map(sectionOf).reverse().join('')}`;

  function id(number: number): string {
    return number.toString(16).padStart(4, '0');
  }

  it.each([
    ['in order', sorted],
    ['in order, without a newline at its end', sorted.trimEnd()],
    ['in another order', unsorted],
  ])('has every name, %s', (_order, contents) => {
    const found = new PciNames(source(contents));
    const some = contents === unsorted ? vendors.filter((_, index) => index % 64 === 0) : vendors;
    expect(some.map((vendor) => found.vendor(vendor))).toEqual(some.map((vendor) => `Vendor ${id(vendor)}`));
    expect(some.map((vendor) => found.device(vendor, vendor ^ 1))).toEqual(some.map((vendor) => `Device ${id(vendor)}`));
    expect(some.map((vendor) => found.subsystem(vendor, vendor ^ 1, 1, 2))).toEqual(some.map(() => 'Board'));
    expect([found.className(0x010802), found.className(0xff0000), found.className(0x020000)]).toEqual(['Drive', 'Other', undefined]);
  });

  it('has no others', () => {
    const found = new PciNames(source(sorted));
    expect([0, 4, 0x8086, 0xffff].map((vendor) => found.vendor(vendor))).toEqual([undefined, undefined, undefined, undefined]);
    expect(vendors.filter((vendor) => found.device(vendor, vendor ^ 0x11) !== undefined)).toEqual([]);
    expect(vendors.filter((vendor) => found.subsystem(vendor, vendor ^ 1, 1, 3) !== undefined)).toEqual([]);
  });

  it('is read where the names are alone', () => {
    const whole = source(sorted);
    let read = 0;
    const found = new PciNames({ ...whole, length: whole.length, read: (start, end) => ((read += end - start), whole.read(start, end)) });
    expect([found.device(0x8083, 0x8082), found.className(0x010802)]).toEqual(['Device 8083', 'Drive']);
    expect(read).toBeLessThan(whole.length / 2);
  });
});

describe('the database', () => {
  const having = (contents: Readonly<Record<string, Uint8Array>>): Files =>
    ({ readFile: (path: string) => contents[path] ?? -errno.ENOENT }) as Partial<Files> as Files;
  const textOf = async (contents: Readonly<Record<string, Uint8Array>>): Promise<string | undefined> => {
    const found = await findDatabase(having(contents));
    return found?.read(0, found.length).toString();
  };

  it.each(['/usr/share/misc/pci.ids', '/usr/share/hwdata/pci.ids', '/usr/share/pci.ids'])('is %s, packed or not', async (path) => {
    const bytes = new TextEncoder().encode(text);
    expect(await textOf({ [path]: bytes })).toBe(text);
    expect(await textOf({ [`${path}.gz`]: gzipSync(bytes) })).toBe(text);
  });

  it('need not be there', async () => {
    expect(await textOf({})).toBeUndefined();
  });
});

describe('a file', () => {
  it('is read in parts, and closed', () => {
    const path = fileURLToPath(import.meta.url);
    const whole = readFileSync(path);
    const files = (): number => readdirSync('/proc/self/fd').length;
    const before = files();
    const file = fileSource(path)!;
    expect(files()).toBe(before + 1);
    expect([file.length, file.read(10, 20).toString(), file.read(file.length - 5, file.length + 5).toString()]).toEqual([
      ...[whole.length, whole.subarray(10, 20).toString(), whole.subarray(-5).toString()],
    ]);
    file[Symbol.dispose]();
    expect(files()).toBe(before);
  });

  it.each(['/nowhere', '/proc', '/dev/null'])('%s is none', (path) => {
    const before = readdirSync('/proc/self/fd').length;
    expect(fileSource(path)).toBeUndefined();
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });
});
