/** What an NVMe controller does to its driver: it does not answer, fails, loses interrupts, is pulled out or wanted back. */
import { afterEach, describe, expect, it } from 'vitest';
import { Controller, type ControllerOptions } from '../../examples/nvme/controller.js';
import { perf } from '../../examples/nvme/tools/perf.js';
import { openDevice, type DmaBuffer, type OpenDevice } from 'vfio';
import { Machine, Nvme } from 'vfio/sim';

const address = '0000:00:03.0';
const depth = 32;
const modes = ['interrupts', 'polling'] as const;
const submissionDoorbell = 0x1008;

/** One that does not hear of commands, where it is told so. */
class Drive extends Nvme {
  deafTo: number | undefined;

  protected override writeBar(...[bar, offset, width, value]: Parameters<Nvme['writeBar']>): void {
    if (offset !== this.deafTo) super.writeBar(bar, offset, width, value);
  }
}

interface Bench {
  readonly drive: Drive;
  readonly machine: Machine;
  readonly opened: OpenDevice;
  readonly controller: Controller;
  readonly buffer: DmaBuffer;
}

const closing: OpenDevice[] = [];
afterEach(() => closing.splice(0).forEach((opened) => opened.close()));

async function open(options: ControllerOptions = {}): Promise<Bench> {
  const drive = new Drive({ size: 1 << 20 });
  const machine = new Machine({ devices: [{ model: drive }] });
  const opened = openDevice(machine.kernel, address);
  closing.push(opened);
  const controller = await Controller.open(opened, { depth: depth + 1, ...options });
  return { drive, machine, opened, controller, buffer: opened.dma.allocate(depth * 4096) };
}

/** Each reads 8 blocks into a page of its own; what they end with. */
async function readMany({ controller, buffer }: Bench): Promise<string[]> {
  const reads = Array.from({ length: depth }, (_, index) =>
    controller.namespaces[0]!.read(BigInt(8 * index), 8, { iova: buffer.iova + BigInt(4096 * index), size: 4096 }),
  );
  expect(controller.io.queue.inFlight).toBe(depth);
  return (await Promise.allSettled(reads)).map((end) => (end.status === 'fulfilled' ? 'done' : (end.reason as Error).message));
}

const allOf = (text: string): string[] => new Array<string>(depth).fill(text);

describe.each(modes)('with %s', (completion) => {
  it('stops a controller that does not end a command in time, before who waits for it hears of that', async () => {
    const bench = await open({ completion, timeoutMilliseconds: 50 });
    const { drive, controller, opened } = bench;
    drive.deafTo = submissionDoorbell;
    const stopped: boolean[] = [];
    const read = controller.namespaces[0]!.read(0n, 8, bench.buffer).finally(() => {
      stopped.push(controller.registers.CC.get('EN') === 0, (opened.device.config.read16(4) & 4) === 0);
    });
    await expect(read).rejects.toThrow('Opcode 2 did not end within 50 ms; CSTS=0x00000001 RDY');
    expect(stopped).toEqual([true, true]);
    await expect(controller.namespaces[0]!.flush()).rejects.toThrow('The controller has failed: Opcode 2 did not end within 50 ms');
    await controller.close();
  });

  it('says that the controller failed, to all whose commands are in flight and to all who come later', async () => {
    const bench = await open({ completion });
    bench.machine.device(bench.drive).failDma();
    expect(await readMany(bench)).toEqual(allOf('The controller gave up: CSTS=0x00000002 CFS'));
    await expect(bench.controller.namespaces[0]!.flush()).rejects.toThrow('The controller has failed: The controller gave up');
    await bench.controller.close();
  });

  it('notices that somebody else reset the controller', async () => {
    const bench = await open({ completion });
    bench.drive.deafTo = submissionDoorbell;
    const reads = readMany(bench);
    bench.machine.device(bench.drive).reset();
    expect(await reads).toEqual(allOf('The controller was reset by somebody else: CSTS=0x00000000'));
    await bench.controller.close();
  });

  it('notices that the controller is gone, which nobody tells it', async () => {
    const bench = await open({ completion });
    const reads = readMany(bench);
    bench.machine.device(bench.drive).silence();
    expect(await reads).toEqual(allOf('The controller is gone: its registers read as ones'));
    await bench.controller.close();
    expect(bench.opened.closed).toBe(false);
  });

  it('lets go of a controller that is pulled out with commands in flight', async () => {
    const bench = await open({ completion });
    const reads = readMany(bench);
    const unplugged = bench.machine.device(bench.drive).unplug();
    expect(await reads).toEqual(allOf('The controller is gone: its registers read as ones'));
    await unplugged;
    expect(bench.opened.closed).toBe(true);
    expect(bench.machine.kernel.files.readdir('/sys/bus/pci/devices')).toEqual([]);
    await expect(bench.controller.namespaces[0]!.flush()).rejects.toThrow('The controller has failed: The controller is gone');
    await bench.controller.close();
  });

  it('lets go of a controller that is pulled out while it is measured', async () => {
    const { machine, drive, controller, opened } = await open({ completion });
    const options = { kind: 'mixed', random: true, depth, size: 4096, seconds: 60 } as const;
    const measured = perf(controller, controller.namespaces[0]!, opened.dma, options);
    setTimeout(() => void machine.device(drive).unplug(), 30);
    await expect(measured).rejects.toThrow('The controller has failed: The controller is gone');
  });

  it('gives the device back when the host wants it', async () => {
    const bench = await open({ completion });
    bench.drive.deafTo = submissionDoorbell;
    const reads = readMany(bench);
    const unbound = bench.machine.unbind(address);
    expect(await reads).toEqual(allOf('The host wants the device back'));
    await unbound;
    expect(bench.opened.closed).toBe(true);
  });

  it('ends commands whose device was closed under them', async () => {
    const bench = await open({ completion });
    bench.drive.deafTo = submissionDoorbell;
    const reads = readMany(bench);
    bench.opened.close();
    expect(new Set(await reads)).toEqual(new Set(['The device was closed under the controller']));
    await bench.controller.close();
  });

  it('leaves nothing of a controller that does not come up, and opens it when it is well', async () => {
    const { drive, controller, opened } = await open({ completion });
    await controller.close();
    drive.deafTo = 0x1000;
    await expect(Controller.open(opened, { completion, timeoutMilliseconds: 50 })).rejects.toThrow('Opcode 6 did not end within 50 ms');
    expect([controller.registers.CC.get('EN'), opened.device.config.read16(4) & 4]).toEqual([0, 0]);
    drive.deafTo = undefined;
    const again = await Controller.open(opened, { completion });
    await again.namespaces[0]!.flush();
    await again.close();
  });

  it('waits for what is in flight before it shuts down, once', async () => {
    const bench = await open({ completion });
    const reads = readMany(bench);
    await Promise.all([bench.controller.close(), bench.controller.close()]);
    expect(await reads).toEqual(allOf('done'));
  });
});

it('does without an interrupt that is lost', async () => {
  const bench = await open();
  bench.machine.device(bench.drive).loseInterrupts();
  expect(await readMany(bench)).toEqual(allOf('done'));
});

it('says when a controller that is gone cannot be shut down, or opened', async () => {
  const { machine, drive, controller, opened } = await open();
  machine.device(drive).silence();
  await expect(controller.close()).rejects.toThrow('The controller is gone');
  await expect(Controller.open(opened)).rejects.toThrow('The controller is gone');
});
