import { expected } from '../kernel/error.js';

const form = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The 16 bytes of a UUID in the order they are written. @throws RangeError that names the argument. */
export function uuidBytes(uuid: string, argument: string): Uint8Array {
  if (!form.test(uuid)) throw expected("a UUID like 'bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3'", argument, uuid);
  return Uint8Array.from(uuid.replaceAll('-', '').match(/../g) ?? [], (pair) => parseInt(pair, 16));
}
