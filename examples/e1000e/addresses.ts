/** Addresses as people write them, and their bytes. */

/** '52:54:00:12:34:56' */
export function formatStation(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** Six bytes. @throws RangeError */
export function parseStation(text: string): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text))
    throw new RangeError(`Expected an address like 52:54:00:12:34:56 for a station but received '${text}'`);
  return Uint8Array.from(text.split(':'), (byte) => parseInt(byte, 16));
}

/** '192.168.0.1' */
export function formatIpv4(bytes: Uint8Array): string {
  return bytes.join('.');
}

/** Four bytes. @throws RangeError */
export function parseIpv4(text: string): Uint8Array {
  const bytes = text.split('.').map(Number);
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(text) || bytes.some((byte) => byte > 255))
    throw new RangeError(`Expected an IPv4 address like 192.168.0.1 but received '${text}'`);
  return Uint8Array.from(bytes);
}
