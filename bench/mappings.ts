/**
 * The simulated IOMMU with a thousand and with a million mappings: what one more costs grows like log n. There is no C to
 * it. Time is the processor's, as a million mappings take long enough for others to come in between.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Bench } from 'tinybench';
import { Cdev, Container, findDevices, Iommufd, type AddressSpace, type Device, type DirtyTracking } from 'vfio';
import { Edu, Machine } from 'vfio/sim';
import { report } from './report.js';

const counts = [1000, 1_000_000] as const;
const page = 4096n;
/** Every other page, so that there is room for one more beside each. */
const base = 0x1_0000_0000n;
const stride = 2n * page;
const repeat = 100;

/** A device that moves one byte. */
class Reader extends Edu {
  readonly #byte = new Uint8Array(1);

  read(iova: bigint): void {
    if (!this.dma.read(iova, this.#byte)) throw new Error(`Nothing is mapped at ${iova}`);
  }

  write(iova: bigint): void {
    if (!this.dma.write(iova, this.#byte)) throw new Error(`Nothing is mapped at ${iova}`);
  }
}

interface Opened {
  readonly device: Device;
  readonly space: AddressSpace;
  readonly track: () => DirtyTracking;
}

const ways: Readonly<Record<string, (machine: Machine) => Opened>> = {
  container({ kernel }) {
    const container = Container.open(kernel);
    const group = container.openGroup(0);
    container.setIommu();
    return { device: group.openDevice('0000:00:03.0'), space: container, track: () => container.trackDirtyPages() };
  },
  ioas({ kernel }) {
    const iommufd = Iommufd.open(kernel);
    const [found] = findDevices(kernel, { vendor: 0x1234, device: 0x11e8 });
    if (found === undefined) throw new Error('The machine has no edu');
    const device = Cdev.open(iommufd, found);
    const space = iommufd.createIoas();
    const table = space.createPageTable(device, { dirtyTracking: true });
    device.attach(table);
    return { device, space, track: () => table.trackDirtyPages() };
  },
};

/** Places all over the range, in no order. */
function* places(count: number): Generator<bigint, never> {
  for (let step = 0; ; step += 1) yield base + BigInt(Math.floor(((step * 0.618_033_988_7) % 1) * count)) * stride;
}

interface Costs {
  /** Microseconds of each operation. */
  readonly times: ReadonlyMap<string, number>;
  readonly megabytes: number;
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function megabytesInUse(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / 1e6;
}

/** What each operation takes among that many mappings, and what they themselves do. */
async function costs(way: (machine: Machine) => Opened, count: number): Promise<Costs> {
  const model = new Reader();
  const machine = new Machine({ devices: [{ model, group: 0 }], dmaEntryLimit: 2 ** 31, iommuFeatures: ['dirtyTracking'] });
  const { device, space, track } = way(machine);
  device.enableBusMaster();
  const address = machine.kernel.addressOf(space.allocate(Number(page)).memory);
  const before = megabytesInUse();
  for (let index = 0; index < count; index += 1) space.map({ iova: base + BigInt(index) * stride, address, size: page });
  const megabytes = megabytesInUse() - before;

  const processorTime = (): number => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  };
  const bench = new Bench({ time: 1000, warmupTime: 500, now: processorTime });
  const at = places(count);
  let chosen: bigint[] = [];
  const choose = (): void => {
    chosen = Array.from({ length: repeat }, () => at.next().value + page);
  };
  const mapAll = (): void => chosen.forEach((iova) => space.map({ iova, address, size: page }));
  const unmapAll = (): void => chosen.forEach((iova) => space.unmap({ iova, size: page }));
  bench.add('map', mapAll, { beforeEach: choose, afterEach: unmapAll });
  const chooseAndMap = (): void => {
    choose();
    mapAll();
  };
  bench.add('unmap', unmapAll, { beforeEach: chooseAndMap });
  bench.add('translate', () => chosen.forEach((iova) => model.read(iova - page)), { beforeEach: choose });
  await bench.run();

  const tracking = track();
  for (let index = 0; index < count; index += 1) model.write(base + BigInt(index) * stride);
  const scan = new Bench({ time: 1000, warmupTime: 500, now: processorTime });
  scan.add('dirty scan', () => chosen.forEach((iova) => tracking.read({ iova: iova - page, size: page })), { beforeEach: choose });
  await scan.run();
  const figures = [...bench.tasks, ...scan.tasks].map(({ name, result }): [string, number] => {
    if (result.state !== 'completed') throw new Error(`${name}: ${result.state}`);
    return [name, (result.latency.p50 * 1000) / repeat];
  });
  return { times: new Map(figures), megabytes };
}

for (const [name, way] of Object.entries(ways)) {
  const [few, many] = [await costs(way, counts[0]), await costs(way, counts[1])];
  report({
    title: `The simulated IOMMU, ${name}, with ${counts.join(' and ')} mappings`,
    unit: 'microseconds',
    rows: Object.fromEntries([...few.times].map(([operation, cost]) => [operation, { few: cost, many: many.times.get(operation) }])),
    floor: 'few',
    compared: 'many',
  });
  console.log(`${counts[1]} of them take ${Math.round(many.megabytes)} MB`);
}
