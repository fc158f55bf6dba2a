import { expected } from '../kernel/error.js';

/** A number for a field of 32 bits, or misuse. */
export function checkedWord(name: string, value: number): number {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) throw expected('an integer from 0 to 4294967295', name, value);
  return value;
}
