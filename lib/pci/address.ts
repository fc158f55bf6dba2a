import { expected } from '../kernel/error.js';

const full = /^([0-9a-f]{4,8}):([0-9a-f]{2}):([01][0-9a-f])\.([0-7])$/;

/** It is one in full. */
export function isAddress(text: string): boolean {
  return full.test(text);
}

/**
 * The full form of a PCI address, 'DDDD:BB:DD.F': '3:00.0' becomes '0000:03:00.0'.
 * @throws RangeError for what is no address.
 */
export function parseAddress(text: string): string {
  if (typeof text !== 'string') throw new TypeError(`Expected a text like '0000:01:00.0' for address but received ${typeof text}`);
  const parts = text.toLowerCase().split(':');
  const [domain, bus, slot] = parts.length === 2 ? ['0000', ...parts] : parts;
  const address = `${domain}:${bus?.padStart(2, '0')}:${slot}`;
  if (parts.length > 3 || !isAddress(address)) throw expected("a PCI address like '0000:01:00.0'", 'address', text);
  return address;
}
