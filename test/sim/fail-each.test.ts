import { describe, expect, it } from 'vitest';
import { O_RDWR } from '../../lib/abi/system.js';
import { openDevice, type Kernel } from '../../lib/index.js';
import { Edu, failEach, Machine, type FailEachOptions, type FailEachReport } from '../../lib/sim/index.js';

const address = '0000:00:03.0';

function run(driver: FailEachOptions['driver'], options: Partial<FailEachOptions> = {}): Promise<FailEachReport> {
  return failEach({ machine: () => new Machine({ devices: [{ model: new Edu() }] }), driver, ...options });
}

describe('failEach', () => {
  it('fails each call once, on a machine of its own, with what Linux may answer', async () => {
    const machines = new Set<Machine>();
    const { runs, problems, swallowed } = await run((kernel, machine) => {
      machines.add(machine);
      using opened = openDevice(kernel, address, { by: 'group' });
      opened.dma.allocate(4096);
    });
    expect(problems).toEqual([]);
    expect(machines.size).toBe(runs.length + 1);
    const failed = runs.map(({ call, errno }) => `${errno} ${/^[^(]*\((?:\d+, )?([^,)]*)/.exec(call)![1]}`);
    expect(failed).toEqual(
      expect.arrayContaining(['EMFILE "/dev/vfio/vfio"', 'EBUSY VFIO_GROUP_SET_CONTAINER', 'ENOMEM VFIO_IOMMU_MAP_DMA']),
    );
    for (const { error } of runs.filter((one) => !swallowed.includes(one))) expect(error).toBeInstanceOf(Error);
    // That a device has no node of its own is no reason not to open it by its group.
    expect(swallowed.map(({ call }) => call)).toContain(`readdir("/sys/bus/pci/devices/${address}/vfio-dev")`);
  });

  it('reports what is left, and where it was made', async () => {
    function careless(kernel: Kernel): void {
      const first = kernel.eventfd(0, 0);
      if (first < 0) throw new Error('no eventfd');
      const second = kernel.eventfd(0, 0);
      if (second < 0) throw new Error('no second eventfd');
      kernel.close(second);
      kernel.close(first);
    }
    const { runs, problems } = await run(careless);
    expect(runs.length).toBe(4);
    expect(problems).toEqual([
      { what: 'leak', call: 'eventfd(0, 0)', errno: 'EMFILE', text: expect.stringMatching(/^fd of eventfd\(0, 0\)\n.*at careless/) },
    ]);
  });

  it('reports what is left where nothing failed', async () => {
    const { problems } = await run((kernel) => void kernel.open('/dev/vfio/vfio', O_RDWR), { calls: () => false });
    expect(problems).toEqual([{ what: 'leak', call: 'nothing', errno: undefined, text: expect.stringContaining('fd of open(') }]);
  });

  it('reports timers that are left, which keep the process alive', async () => {
    const timers: NodeJS.Timeout[] = [];
    const { problems } = await run((kernel) => {
      const timer = setInterval(() => {}, 1000);
      timers.push(timer);
      const fd = kernel.eventfd(0, 0);
      if (fd < 0) return;
      kernel.close(fd);
      clearInterval(timer);
    });
    timers.forEach((timer) => clearInterval(timer));
    expect(problems.map(({ what, text }) => [what, text])).toEqual([
      ['leak', expect.stringMatching(/^Timeout, which keeps the process alive\n.*fail-each\.test/)],
    ]);
  });

  it('does not mind timers that let the process end', async () => {
    const timers: NodeJS.Timeout[] = [];
    const { problems } = await run(() => void timers.push(setInterval(() => {}, 1000).unref()));
    timers.forEach((timer) => clearInterval(timer));
    expect(problems).toEqual([]);
  });

  it('closes what does not close, and makes no other call that fails', async () => {
    let [closed, written] = [0, 0];
    const { problems } = await run((kernel) => {
      const counter = new Uint8Array(8);
      const fd = kernel.eventfd(0, 0x800);
      if (fd < 0) return;
      if (kernel.write(fd, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0)) < 0 && kernel.read(fd, counter) === 8) written += 1;
      if (kernel.close(fd) < 0 && kernel.read(fd, counter) < 0) closed += 1;
    });
    expect([problems, closed, written]).toEqual([[], 1, 0]);
  });

  it('reports errors that are mistakes of the program, and those that nobody catches', async () => {
    const { problems } = await run(async (kernel) => {
      const fd = kernel.eventfd(0, 0);
      if (fd < 0) (undefined as unknown as number[]).push(fd);
      if (kernel.close(fd) < 0) void Promise.reject(new Error('not looked at'));
      if (kernel.files.access('/sys') < 0) setImmediate(() => expect.unreachable());
      if (kernel.files.access('/dev') < 0) throw 'a string';
    });
    expect(problems.map(({ what, text }) => `${what}: ${text.split('\n')[0]}`)).toEqual([
      expect.stringMatching(/^crash: TypeError: Cannot read properties of undefined/),
      'crash: Nobody caught: Error: not looked at',
      expect.stringMatching(/^crash: Nobody caught: AssertionError/),
      'crash: What was thrown is no Error but a string',
    ]);
  });

  it('reports what hangs: a promise that stays, and call after call', async () => {
    const { problems } = await run(
      async (kernel) => {
        if (kernel.files.access('/sys') < 0) await new Promise(() => {});
        const fd = kernel.eventfd(0, 0);
        while (fd < 0) kernel.files.access('/sys');
        kernel.close(fd);
      },
      { timeLimitMilliseconds: 50 },
    );
    expect(problems.map(({ what, text }) => `${what}: ${text.split('\n')[0]}`)).toEqual([
      'hang: It did not end within 50 ms',
      'hang: The driver makes call after call: access("/sys")',
    ]);
  });

  it('fails only the calls that are wanted, as it is wanted', async () => {
    const { runs } = await run(
      (kernel) => {
        using opened = openDevice(kernel, address);
        opened.dma.ranges();
      },
      { calls: ({ name }) => name === 'open', errno: () => 'EPERM' },
    );
    expect(runs.map(({ call, errno }) => [call, errno])).toEqual([
      ['open("/dev/iommu", RDWR)', 'EPERM'],
      ['open("/dev/vfio/devices/vfio0", RDWR)', 'EPERM'],
    ]);
    const failed: string[] = [];
    await run(
      (kernel) => {
        if (kernel.files.access('/sys') < 0) failed.push('access');
        const fd = kernel.eventfd(0, 0);
        if (fd < 0) failed.push('eventfd');
        else kernel.close(fd);
      },
      { calls: ({ name }) => name === 'eventfd' },
    );
    expect(failed).toEqual(['eventfd']);
  });

  it('throws what a driver throws where nothing fails', async () => {
    await expect(run(() => Promise.reject(new Error('no such device')))).rejects.toThrow('no such device');
    await expect(run(() => new Promise(() => {}), { timeLimitMilliseconds: 20 })).rejects.toThrow(/did not end within 20 ms/);
    await expect(run(() => {}, { timeLimitMilliseconds: 0 })).rejects.toThrow(/for timeLimitMilliseconds/);
  });
});
