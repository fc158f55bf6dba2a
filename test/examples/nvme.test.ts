/** The NVMe driver on a simulated controller. */
import { afterEach, describe, expect, it } from 'vitest';
import { Controller } from '../../examples/nvme/controller.js';
import { Namespace } from '../../examples/nvme/namespace.js';
import { openDevice, type OpenDevice } from 'vfio';
import { Machine, Nvme } from 'vfio/sim';

const closing: OpenDevice[] = [];
afterEach(() => closing.splice(0).forEach((opened) => opened.close()));

async function open(options = {}): Promise<{ controller: Controller; opened: OpenDevice }> {
  const { kernel } = new Machine({ devices: [{ model: new Nvme({ size: 16 << 20, serial: 'example' }) }] });
  const opened = openDevice(kernel, '0000:00:03.0');
  closing.push(opened);
  return { controller: await Controller.open(opened, options), opened };
}

it('says who it is', async () => {
  const { controller } = await open();
  const [namespace] = controller.namespaces;
  expect(controller).toMatchObject({ serial: 'example', model: 'QEMU NVMe Ctrl' });
  expect(namespace).toMatchObject({ id: 1, blockSize: 512, blocks: BigInt((16 << 20) / 512) });
});

it('reads what it wrote: less than a page, two, a list, and more than a command takes', async () => {
  const { controller, opened } = await open();
  const namespace = controller.namespaces[0]!;
  const size = 3 << 20;
  const [from, into] = [opened.dma.allocate(size), opened.dma.allocate(size)];
  new Uint32Array(from.memory).forEach((_, index, words) => (words[index] = Math.imul(index, 0x9e37_79b1)));
  for (const blocks of [1, 7, 16, 64, size / 512]) {
    into.bytes.fill(0);
    await namespace.write(100n, blocks, from);
    await namespace.flush();
    await namespace.read(100n, blocks, into);
    expect(Buffer.compare(into.bytes.subarray(0, blocks * 512), from.bytes.subarray(0, blocks * 512))).toBe(0);
    expect(into.bytes.subarray(blocks * 512).every((byte) => byte === 0)).toBe(true);
  }
  await namespace.deallocate(100n, 8, opened.dma.allocate(4096));
  await namespace.read(100n, 8, into);
  expect(into.bytes.subarray(0, 4096).every((byte) => byte === 0)).toBe(true);
});

it('many commands at once, more than there are places', async () => {
  const { controller, opened } = await open({ depth: 8 });
  const namespace = controller.namespaces[0]!;
  const buffers = Array.from({ length: 40 }, (_, index) => {
    const buffer = opened.dma.allocate(4096);
    buffer.bytes.fill(index + 1);
    return buffer;
  });
  await Promise.all(buffers.map((buffer, index) => namespace.write(BigInt(8 * index), 8, buffer)));
  const back = opened.dma.allocate(4096);
  for (const index of buffers.keys()) {
    await namespace.read(BigInt(8 * index), 8, back);
    expect(new Set(back.bytes)).toEqual(new Set([index + 1]));
  }
  expect(controller.io.queue.inFlight).toBe(0);
});

it('says what the controller refuses, and shuts down', async () => {
  const { controller, opened } = await open();
  const data = { iova: opened.dma.allocate(4096).iova, bytes: 512 };
  const refused = controller.run({ opcode: 2, namespace: 1, data, dword10: (16 << 20) / 512 });
  await expect(refused).rejects.toThrow('Opcode 2 ended with status type 0, code 0x80');
  await controller.close();
  expect(controller.registers.CSTS.describe(controller.registers.CSTS.read())).toBe('CSTS=0x00000000');
  await expect(controller.namespaces[0]!.flush()).rejects.toThrow('The controller is closed');
});

describe('what it cannot do is refused before anything is done', () => {
  it('options', async () => {
    const { controller, opened } = await open();
    await controller.close();
    const refused = (options: object): Promise<unknown> => expect(Controller.open(opened, options)).rejects.toThrow(RangeError);
    await refused({ depth: 1 });
    await refused({ depth: 2.5 });
    await refused({ depth: controller.registers.CAP.get('MQES') + 2 });
    await refused({ completion: 'signals' });
    await refused({ timeoutMilliseconds: 0 });
    const smallest = await Controller.open(opened, { depth: 2 });
    await smallest.namespaces[0]!.flush();
    await smallest.close();
  });

  it('blocks that are not there, memory that is too small or begins inside a page', async () => {
    const { controller, opened } = await open();
    const namespace = controller.namespaces[0]!;
    const { iova, size } = opened.dma.allocate(8192);
    await expect(namespace.read(namespace.blocks - 1n, 2, { iova, size })).rejects.toThrow('Expected blocks from 0 to 32767');
    await expect(namespace.write(-1n, 1, { iova, size })).rejects.toThrow('Expected blocks from 0 to 32767');
    await expect(namespace.read(0n, 0, { iova, size })).rejects.toThrow('for count but received 0');
    await expect(namespace.read(0n, 17, { iova, size })).rejects.toThrow('Expected memory of 8704 bytes');
    await expect(namespace.write(0n, 1, { iova: iova + 512n, size })).rejects.toThrow('Expected memory at a multiple of 4096');
    expect(controller.io.queue.inFlight).toBe(0);
  });

  it('a namespace whose blocks have metadata', async () => {
    const { controller, opened } = await open();
    const identity = new Uint8Array(4096);
    new DataView(identity.buffer).setBigUint64(0, 100n, true);
    new DataView(identity.buffer).setUint32(128, (9 << 16) | 8, true);
    const namespace = new Namespace(controller, 1, identity);
    await expect(namespace.read(0n, 1, opened.dma.allocate(4096))).rejects.toThrow('8 bytes of metadata');
  });
});
