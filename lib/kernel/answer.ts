import { BadAnswerError, walkChain, type Capability } from '../abi/chain.js';
import type { Request } from '../abi/ioctl.js';
import type { StructType } from '../abi/struct.js';
import type { Descriptor } from './descriptor.js';

/** What an info struct with a capability chain has in common. */
interface InfoView {
  readonly bytes: Uint8Array;
  argsz: number;
  flags: number;
  cap_offset: number;
}

/** A kernel that keeps asking for more room than it just asked for is not one. */
const mostRounds = 8;

/** Bytes. No answer is nearly as long: a length beyond is none, and nothing is allocated for it. */
const mostRoom = 1 << 20;

/**
 * Makes an info request with as much room as its answer takes: asks with the fixed struct, and again with what the
 * kernel wrote into argsz, until that stops growing. `fill` sets the in-fields, anew each time, since the kernel writes
 * into the struct.
 */
export function askInfo<V extends InfoView>(
  descriptor: Descriptor,
  request: Request,
  type: { readonly size: number; create(extra: number): V },
  fill: (info: V) => void = () => {},
): { info: V; capabilities: Capability[] } {
  let room = type.size;
  for (let round = 0; round < mostRounds; round += 1) {
    const info = type.create(room - type.size);
    fill(info);
    info.argsz = room;
    descriptor.ioctl(request, info.bytes);
    if (info.argsz <= room) {
      const chained = request.chain !== undefined && (info.flags & request.chain.flag) !== 0;
      return { info, capabilities: chained ? walkChain(info.bytes, type.size, info.cap_offset) : [] };
    }
    room = info.argsz;
    if (room > mostRoom) throw new BadAnswerError(`${request.name} asks for room of ${room} bytes`, info.bytes);
  }
  throw new BadAnswerError(`${request.name} asks for more room each time, now ${room} bytes`, new Uint8Array());
}

/**
 * The first capability of that id as its declared struct, or undefined where there is none. Fields at the end that an older
 * kernel does not have are 0.
 * @throws BadAnswerError when it is shorter than the struct ever was.
 */
export function findCapability<T extends StructType>(
  capabilities: readonly Capability[],
  id: number,
  type: T,
): ReturnType<T['copy']> | undefined {
  const found = capabilities.find((capability) => capability.id === id);
  if (found === undefined) return undefined;
  const { bytes, version } = found;
  if (bytes.byteLength < (version < (grown[type.name]?.version ?? 0) ? (grown[type.name]?.size ?? 0) : type.size))
    throw new BadAnswerError(`${type.name} in ${bytes.byteLength} bytes`, bytes);
  const padded = new Uint8Array(Math.max(bytes.byteLength, type.size));
  padded.set(bytes);
  return type.copy(padded) as ReturnType<T['copy']>;
}

/** Capabilities that grew: the version from which they have their whole size, and the bytes they had before. */
const grown: Readonly<Record<string, { readonly version: number; readonly size: number }>> = {
  vfio_device_info_cap_zpci_base: { version: 2, size: 32 },
  vfio_device_info_cap_zpci_group: { version: 2, size: 40 },
};
