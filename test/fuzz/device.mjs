// Files of a real device, to be asked what they take: in a guest of the lab, whose machine may break.
//
// May assume: what the kernel is told to write to is the struct, which has room, or an address that is `memory`'s or nobody's.
import { requests } from '../../dist/abi/index.js';
import { findDevices, native, openDevice } from '../../dist/index.js';

const bytes = 4096;

// It is mapped for the device, so it stays.
const memory = native().mmap(-1, 1 << 16, 3, 0x22, 0);
const memoryAddress = native().addressOf(memory.memory);

/** Opens the machine's edu. Returns, for each of its files, what makes a request. */
export function open(random, state, by) {
  const [found] = findDevices(native(), { vendor: 0x1234, device: 0x11e8 });
  if (found === undefined) throw new Error('The machine has no edu');
  const opened = openDevice(native(), found.address, { by });
  const { fd: space } = opened.dma;
  const { fd } = opened.device;
  state.lend(space, fd);
  const structs = (count, size) => {
    const all = new Uint8Array(count * bytes);
    const words = new BigUint64Array(all.buffer);
    const sparse = random.pick(1, 3, 12);
    for (let index = 0; index < sparse; index += 1) words[random.below(sparse)] = word(random);
    const lengths = new Uint32Array(all.buffer);
    for (let each = 0; each < count; each += 1) lengths[(each * bytes) / 4] = random.pick(size, size, random.below(64), bytes);
    return all;
  };
  const ask = (kinds) => {
    const known = requests.filter(({ on }) => kinds.includes(on));
    return () => {
      const { number, minimum } = random.pick(...known);
      return { request: number, structs: (count) => structs(count, minimum) };
    };
  };
  return new Map([
    [fd, ask(['device', 'migration'])],
    [space, ask(by === 'group' ? ['container'] : ['container', 'iommufd'])],
  ]);
}

/** Part of a struct: flags, an id, a number of bytes, an address. */
function word(random) {
  const small = BigInt(random.below(16)) << BigInt(random.pick(0, 12, 32, 36));
  return random.pick(small, small, memoryAddress, BigInt(random.below(2 ** 32)), BigInt(random.below(2 ** 32)) << 32n, 2n ** 64n - 1n);
}
