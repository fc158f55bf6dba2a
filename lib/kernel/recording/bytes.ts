import { deflateRawSync, inflateRawSync } from 'node:zlib';

/** Up to so many bytes are written in hexadecimal, for people to read. */
const mostReadable = 64;

/** Bytes as text: few in hexadecimal, more in base64 behind 'base64:', or behind 'deflate:' where that is shorter. */
export function packBytes(bytes: Uint8Array): string {
  const whole = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (whole.byteLength <= mostReadable) return whole.toString('hex');
  const small = deflateRawSync(whole);
  return small.byteLength < whole.byteLength ? `deflate:${small.toString('base64')}` : `base64:${whole.toString('base64')}`;
}

/** The same back. @throws SyntaxError */
export function unpackBytes(text: string): Uint8Array {
  const [, form = '', body = ''] = /^(?:(deflate|base64):)?([^:]*)$/.exec(text) ?? [];
  const coding = form === '' ? 'hex' : 'base64';
  const bytes = Buffer.from(body, coding);
  // Buffer.from leaves out what it does not understand.
  if (bytes.toString(coding) !== body) throw new SyntaxError(`Expected bytes as text but received '${text.slice(0, mostReadable)}'`);
  return new Uint8Array(form === 'deflate' ? inflateRawSync(bytes) : bytes);
}

/** Whether two texts are the same bytes, however they are packed: another version of Node may pack them otherwise. */
export function samePacked(one: string, other: string): boolean {
  return one === other || (/^\w+:/.test(one) && /^\w+:/.test(other) && Buffer.compare(unpackBytes(one), unpackBytes(other)) === 0);
}
