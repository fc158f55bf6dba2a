/** For a machine with lspci and devices: what is said of each device's configuration space is what lspci says, field by field. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { PCI_HEADER_TYPE } from '../../lib/abi/pci.js';
import { countFields, differences } from './compare.js';
import { headers } from './header.js';

const devices = '/sys/bus/pci/devices';
const addresses = readdirSync(devices).sort();

describe('what configuration space says is what lspci says', () => {
  it.each(addresses)('of %s', (address) => {
    const words = execFileSync('lspci', ['-vvv', '-nn', '-D', '-s', address], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    const bytes = readFileSync(`${devices}/${address}/config`);
    expect(differences(bytes, words)).toEqual([]);
    // A virtual function whose physical one is asleep says nothing.
    const silent = bytes[PCI_HEADER_TYPE] === 0xff;
    expect(countFields(words)).toBeGreaterThan(silent ? 0 : 20);
  });
});

headers();
