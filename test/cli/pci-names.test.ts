/** Names of PCI's numbers, from the text that pciutils and hwdata have. */
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { errno } from '../../lib/abi/errno.js';
import { PciNames, readDatabase } from '../../lib/cli/pci-names.js';
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

const names = new PciNames(new TextEncoder().encode(text));

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

describe('the database', () => {
  const having = (contents: Readonly<Record<string, Uint8Array>>): Files =>
    ({ readFile: (path: string) => contents[path] ?? -errno.ENOENT }) as Partial<Files> as Files;

  it.each(['/usr/share/misc/pci.ids', '/usr/share/hwdata/pci.ids', '/usr/share/pci.ids'])('is %s, packed or not', async (path) => {
    const bytes = new TextEncoder().encode(text);
    expect(await readDatabase(having({ [path]: bytes }))).toEqual(bytes);
    expect(Buffer.from((await readDatabase(having({ [`${path}.gz`]: gzipSync(bytes) }))) ?? '')).toEqual(Buffer.from(bytes));
  });

  it('need not be there', async () => {
    expect(await readDatabase(having({}))).toBeUndefined();
  });
});
