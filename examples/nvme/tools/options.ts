/** What the command line may say. */
import { parseArgs } from 'node:util';

export const usage = `
identify                       the controller, and its namespaces
read --to FILE                   --block 0 --count 2048
write --from FILE                --block 0; --pad: fills the last block up with zeros
flush
deallocate                     what the blocks hold is not needed any more: --block 0 --count 2048
perf                             --random --depth 32; --write or --mixed, which overwrite what is there; --size in bytes; --seconds; --json
verify                           --operations 100000 --depth --seed --blocks --json; it overwrites what is there

Without --real ADDRESS the drive is simulated; a real one has vfio-pci as its driver. Each takes --namespace, or has the first, and
--completion interrupts or polling: perf and verify poll, as how fast a drive is would be lost in how long a process takes to wake up;
the others sleep. --real-doorbells: none in memory, where the controller has those.`;

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
    help: { type: 'boolean', default: false },
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
