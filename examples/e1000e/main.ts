/**
 * A driver for Intel's 82574L: the whole of it is in this folder.
 *
 *   npx tsx examples/e1000e/main.ts exchange --frames 100000            two simulated cards, anywhere
 *   npx tsx examples/e1000e/main.ts exchange 0000:01:00.0 0000:02:00.0  two real ones with a cable
 *
 * Without addresses of devices, all of these have simulated cards, and somebody at the other end. --help tells the rest.
 */
import { parseArgs } from 'node:util';
import { bridge } from './tools/bridge.js';
import type { Card } from './card.js';
import { chatter } from './tools/chatter.js';
import { checkedInteger } from './checked.js';
import { drop } from './tools/drop.js';
import { dump } from './tools/dump.js';
import { exchange } from './tools/exchange.js';
import { dropInThreads, exchangeInThreads, pktgenInThreads } from './tools/in-threads.js';
import { meanwhile } from './tools/meanwhile.js';
import { describeGenerated, pktgen } from './tools/pktgen.js';
import { answer, ping } from './tools/ping.js';
import { openPorts } from './ports.js';
import { Station } from './station.js';
import { stats } from './tools/stats.js';

const usage = `
exchange [FROM TO]     sends numbered frames from one port to another, and says how many came, out of order or damaged
                         --frames N, --size BYTES, --burst N, --workers N
pktgen [PORT]          sends frames: --size BYTES, --rate FRAMES_A_SECOND, --frames N, --seconds N, --workers N
drop [PORT]            takes frames and does nothing with them: --workers N, --promiscuous
dump [PORT]            prints each frame that comes: --count N, --write FILE.pcap, --promiscuous
forward [ONE OTHER]    from each port to the other: --stats, --interval MILLISECONDS
stats [PORT...]        what ports receive and send, drops what comes: --count N, --interval MILLISECONDS, --promiscuous
ping FROM TO [PORT]    asks the IPv4 address TO for echoes, as FROM: --count N, --interval MILLISECONDS, --size BYTES
answer IP [PORT]       answers as an IPv4 address

A port is the address of its device: 0000:01:00.0. With --workers 1 or 2, of a real one each queue has a thread. All end in order with Ctrl-C.`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    frames: { type: 'string' },
    seconds: { type: 'string' },
    rate: { type: 'string' },
    size: { type: 'string' },
    burst: { type: 'string' },
    count: { type: 'string' },
    workers: { type: 'string' },
    interval: { type: 'string' },
    write: { type: 'string' },
    promiscuous: { type: 'boolean', default: false },
    stats: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const [what = 'exchange', ...given] = positionals;
const isIpv4 = (text: string): boolean => /^[\d.]+$/.test(text);
const [ips, addresses] = [given.filter(isIpv4), given.filter((text) => !isIpv4(text))];
const stop = new AbortController();
const { signal } = stop;
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());

const intervalMilliseconds = Number(values.interval ?? 1000);

/** Those of these options that were given, as numbers. */
function numbers<Name extends 'frames' | 'seconds' | 'rate' | 'size' | 'burst' | 'count'>(...names: Name[]): { [Key in Name]?: number } {
  return Object.fromEntries(names.flatMap((name) => (values[name] === undefined ? [] : [[name, Number(values[name])]]))) as {
    [Key in Name]?: number;
  };
}

function ip(index: number): string {
  const address = ips[index];
  if (address === undefined) throw new Error(`${what} takes ${what === 'ping' ? 'two IPv4 addresses' : 'an IPv4 address'}`);
  return address;
}

async function run(): Promise<void> {
  const workers = values.workers === undefined ? undefined : (checkedInteger('workers', Number(values.workers), 1, 2) as 1 | 2);
  if (workers !== undefined && addresses.length === 0)
    throw new Error('--workers takes addresses of ports: a simulated machine lives in one thread');
  if (workers !== undefined && !['exchange', 'pktgen', 'drop'].includes(what)) throw new Error(`${what} has no --workers`);
  using ports = await openPorts(addresses, {
    promiscuous: what === 'forward' || values.promiscuous,
    ...(workers !== undefined && { queues: workers, lent: true }),
  });
  const [one, other] = ports.cards;
  const first = one!;
  const second = (): Card => {
    if (other === undefined) throw new Error(`${what} takes the addresses of two ports`);
    return other;
  };
  /** What is at the other end of the simulated cable. */
  const simulated = addresses.length === 0 ? other : undefined;
  const showing = { ...numbers('count'), intervalMilliseconds, signal, output: process.stdout };
  switch (what) {
    case 'exchange': {
      const frames = Number(values.frames ?? 100_000);
      const options = { ...numbers('size', 'burst'), frames, signal };
      const exchanged =
        workers === undefined ? [await exchange(first, second(), options)] : await exchangeInThreads(first, second(), options);
      console.table(exchanged.map(({ seconds, ...found }) => ({ ...found, 'frames a second': Math.round(found.received / seconds) })));
      if (exchanged.some(({ received, misplaced, damaged }) => received !== frames || misplaced + damaged > 0)) process.exitCode = 1;
      return;
    }
    case 'pktgen': {
      const options = { ...numbers('size', 'rate', 'frames', 'seconds'), signal };
      const send = workers === undefined ? pktgen : pktgenInThreads;
      const generated = await meanwhile(simulated && ((end) => drop(simulated, end)), () => send(first, options));
      return console.log(describeGenerated(generated, Number(values.size ?? 60)));
    }
    case 'drop': {
      const take = workers === undefined ? drop : dropInThreads;
      const dropped = await meanwhile(simulated && ((end) => chatter(simulated, end)), () => take(first, signal));
      return console.log(`${dropped} frames`);
    }
    case 'dump': {
      const options = { ...numbers('count'), ...(values.write !== undefined && { write: values.write }), signal, print: console.log };
      const seen = await meanwhile(simulated && ((end) => chatter(simulated, end)), () => dump(first, options));
      return console.log(`${seen} frames`);
    }
    case 'forward': {
      const [there, back] = await meanwhile(values.stats ? (end) => stats(ports.cards, { ...showing, signal: end }) : undefined, () =>
        bridge(first, second(), signal),
      );
      return console.log(`forwarded ${there} and ${back} frames`);
    }
    case 'stats':
      return await meanwhile(
        (end) => Promise.all([...ports.cards.map((card) => drop(card, end)), simulated && chatter(simulated, end)]),
        () => stats(ports.cards, showing),
      );
    case 'ping': {
      const [station, to] = [new Station(first, ip(0)), ip(1)];
      const asking = { ...numbers('size'), count: Number(values.count ?? 4), intervalMilliseconds, signal };
      const lost = await meanwhile(simulated && ((end) => new Station(simulated, to).answer(end)), () => ping(station, to, asking));
      if (lost > 0) process.exitCode = 1;
      return;
    }
    case 'answer':
      return await answer(first, simulated, ip(0), signal);
    default:
      throw new Error(`There is no '${what}':${usage}`);
  }
}

if (values.help) console.log(usage.trim());
else await run();
