/** What the command line may say. */
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    real: { type: 'string' },
    namespace: { type: 'string' },
    completion: { type: 'string' },
    'real-doorbells': { type: 'boolean', default: false },
    block: { type: 'string' },
    count: { type: 'string' },
    to: { type: 'string' },
    from: { type: 'string' },
    pad: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    mixed: { type: 'boolean', default: false },
    random: { type: 'boolean', default: false },
    depth: { type: 'string', default: '32' },
    size: { type: 'string', default: '4096' },
    seconds: { type: 'string', default: '2' },
    operations: { type: 'string', default: '100000' },
    seed: { type: 'string', default: '1' },
    blocks: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});

export { values, positionals };

type Name = keyof typeof values;

/** @throws RangeError where it is not there */
export function needed(name: Name): string {
  const value = values[name];
  if (typeof value !== 'string') throw new RangeError(`It takes --${name}`);
  return value;
}

/** @throws RangeError where it is not there, or no number */
export function number(name: Name): number {
  const value = Number(needed(name));
  if (!(value >= 0)) throw new RangeError(`Expected a number for --${name} but received '${needed(name)}'`);
  return value;
}

/** A number of a block. @throws as `number` */
export function block(name: Name): bigint {
  if (!/^(\d+|0x[\da-f]+)$/i.test(needed(name))) throw new RangeError(`Expected a number for --${name} but received '${needed(name)}'`);
  return BigInt(needed(name));
}
