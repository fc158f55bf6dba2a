/**
 * What a process that is not root does with a device: `node child.mjs CASE JSON`. Ends with a line of JSON: what came out, or the code
 * of the error.
 */
import { adoptDevice, native, openDevice, type DmaBuffer, type OpenDevice, type OpenWay, type SharedDevice } from '../../lib/index.js';
import { eduCopies } from '../support/edu-dma.js';

interface Given {
  readonly address: string;
  readonly by?: OpenWay;
  readonly other?: string;
  readonly shared?: SharedDevice;
  readonly user?: number;
}

const kernel = native();
const below = 0xfff_ffffn;
const half = 2048n;

/** Whether what the device is to copy arrives where the memory is. */
async function copies({ device }: OpenDevice, buffer: DmaBuffer): Promise<boolean> {
  const bytes = new Uint8Array(buffer.memory);
  bytes.fill(0).set([1, 2, 3, 4]);
  await eduCopies(device, buffer.iova, buffer.iova + half);
  return [1, 2, 3, 4].every((byte, index) => bytes[Number(half) + index] === byte);
}

async function drives(opened: OpenDevice): Promise<object> {
  const { device, dma, way } = opened;
  const copied = await copies(opened, dma.allocate(4096, { below }));
  const [interrupt] = device.interrupt('msi').enable();
  device.region(0).mmio.write32(0x60, 1);
  const interrupted = (await interrupt?.wait({ timeoutMilliseconds: 10_000 })) === 1;
  device.region(0).mmio.write32(0x64, 1);
  return { user: process.getuid?.(), way, copied, interrupted };
}

function refusal(action: () => unknown): string {
  try {
    action();
    return 'none';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

const cases: Record<string, (given: Given) => Promise<object>> = {
  async open({ address, by, other }) {
    using opened = openDevice(kernel, address, by === undefined ? {} : { by });
    return { ...(await drives(opened)), other: refusal(() => openDevice(kernel, other!, { by: 'group' })) };
  },

  async adopt({ shared, address }) {
    using opened = adoptDevice(kernel, { ...shared!, device: 3, space: 4 });
    const anew = (['node', 'group'] as const).map((by) => refusal(() => openDevice(kernel, address, { by })));
    return { ...(await drives(opened)), anew };
  },

  /** Starts as root, with a limit of locked memory of 1 MiB, which binds root only once it is none. */
  async drop({ address, by, user }) {
    using opened = openDevice(kernel, address, { by: by! });
    const before = opened.dma.allocate(2 << 20, { below });
    process.setgroups?.([]);
    process.setgid?.(user!);
    process.setuid?.(user!);
    const stillMapped = await copies(opened, before);
    const over = refusal(() => opened.dma.allocate(2 << 20, { below }));
    before.close();
    const again = refusal(() => process.setuid?.(0));
    const anew = refusal(() => openDevice(kernel, address, { by: by! }));
    return { ...(await drives(opened)), stillMapped, over, again, anew };
  },

  /** The device is told to write where nothing is mapped any more, where it may only read, and where nothing ever was. */
  async unmapped({ address, by }) {
    using opened = openDevice(kernel, address, { by: by! });
    const memory = kernel.mmap(-1, 8192, 3, 0x22, 0);
    if (typeof memory === 'number') throw new Error(`mmap answered ${memory}`);
    const bytes = new Uint8Array(memory.memory!);
    const source = opened.dma.allocate(4096, { below });
    new Uint8Array(source.memory).fill(0xaa);
    const where = { address: kernel.addressOf(memory.memory!), size: 4096n };
    const written = async (iova: bigint): Promise<boolean> => {
      bytes.fill(0);
      await eduCopies(opened.device, source.iova, iova);
      return bytes.some((byte) => byte !== 0);
    };
    const iova = 0x800_0000n;
    opened.dma.map({ ...where, iova });
    const mapped = await written(iova);
    opened.dma.unmap({ iova, size: 4096n });
    const afterwards = await written(iova);
    opened.dma.map({ ...where, iova, write: false });
    const readOnly = await written(iova);
    const elsewhere = await written(0x900_0000n);
    opened.dma.unmap({ iova, size: 4096n });
    memory.unmap();
    return { mapped, afterwards, readOnly, elsewhere };
  },
};

const [, , name = '', given = '{}'] = process.argv;
try {
  console.log(JSON.stringify(await cases[name]!(JSON.parse(given) as Given)));
} catch (error) {
  const { code, path } = error as { code?: string; path?: string };
  console.log(JSON.stringify({ code: code ?? String(error), path }));
}
