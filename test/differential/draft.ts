/** Requests with their arguments filled: by what a caller would mean, and then broken now and then. */
import { requests } from '../../lib/abi/requests.js';
import type { Request } from '../../lib/abi/ioctl.js';
import type { StructType } from '../../lib/abi/struct.js';
import type { Call, Value, Word } from './operation.js';
import { anyFd, anyValue } from './pools.js';
import type { Random } from './random.js';
import type { World } from './world.js';

export interface Filled {
  readonly fields?: Readonly<Record<string, Value>>;
  readonly words?: readonly Word[];
}

const wordSizes = { u8: 1, u32: 4, s32: 4, u64: 8 } as const;

/** How often one field of an argument is another than was meant, and how often two are. */
const broken = 0.22;
const brokenTwice = 0.05;

/** The request on that file, as it was meant or with a field or two of it broken. */
export function draft(random: Random, world: World, request: Request, file: Value, { fields = {}, words = [] }: Filled = {}): Call {
  // Now and then on a file of whatever kind.
  const on = random.chance(0.02) ? anyFd(random, world) : file;
  if (typeof request.argument === 'string') return { call: 'ioctl', file: on, request: request.name, words };
  if (random.chance(0.02)) return { call: 'ioctl', file: on, request: request.name, value: random.pick([0, 0x1000]) };
  const type: StructType = request.argument;
  const trailing = words.reduce((sum, [size]) => sum + wordSizes[size], 0);
  const flexible = type.layout.find(({ field }) => field.kind === 'flexible');
  const length = (flexible?.offset ?? type.size) + trailing;
  const [size] = type.layout;
  const all: Record<string, Value> = { ...(size !== undefined && { [size.name]: length }), ...fields };
  const breaks = random.chance(brokenTwice) ? 2 : random.chance(broken) ? 1 : 0;
  for (let times = 0; times < breaks; times += 1) {
    const scalars = type.layout.filter(({ field }) => field.kind === 'scalar');
    const chosen = random.pick(scalars);
    if (chosen === undefined) continue;
    all[chosen.name] = chosen === size ? anyLength(random, request, length) : anyValue(random, world, chosen);
  }
  // What is behind the struct is looked at by some kernels.
  const tail: Word[] = words.length === 0 && flexible === undefined && random.chance(0.04) ? [['u64', random.pick([0, 0x100])]] : [];
  return { call: 'ioctl', file: on, request: request.name, fields: all, words: [...words, ...tail] };
}

function anyLength(random: Random, { minimum }: Request, length: number): number {
  return random.pick([0, 4, minimum - 1, minimum, length - 1, length + 4, length + 8, length + 64, 4096, 4097]);
}

/** Any request at all, on a file of its kind, filled at random. */
export function anyRequest(random: Random, world: World): Call {
  const request = random.pick(requests) as Request;
  const kind = request.on === 'migration' ? 'device' : request.on;
  const files = world.files.filter((file) => file.kind === kind || (request.on === 'container' && file.kind === 'iommufd'));
  const file = random.pick(files)?.ref ?? anyFd(random, world);
  if (request.argument === 'none') return { call: 'ioctl', file, request: request.name };
  if (request.argument === 'number') return { call: 'ioctl', file, request: request.name, value: random.below(13) };
  if (request.argument === 'fd') return draft(random, world, request, file, { words: [['s32', anyFd(random, world)]] });
  if (request.argument === 'text')
    return {
      call: 'ioctl',
      file,
      request: request.name,
      text: random.pick([...world.names.map((name) => `@${name}`), '', '0000:00:1e.7']) ?? '',
    };
  const fields: Record<string, Value> = {};
  for (const placed of request.argument.layout.slice(1)) {
    if (placed.field.kind === 'scalar' && random.chance(0.6)) fields[placed.name] = anyValue(random, world, placed);
  }
  return draft(random, world, request, file, { fields });
}
