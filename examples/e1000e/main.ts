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
import { drop } from './tools/drop.js';
import { dump } from './tools/dump.js';
import { exchange } from './tools/exchange.js';
import { meanwhile } from './tools/meanwhile.js';
import { describeGenerated, pktgen } from './tools/pktgen.js';
import { answer, ping } from './tools/ping.js';
import { openPorts } from './ports.js';
import { Station } from './station.js';
import { stats } from './tools/stats.js';

const usage = `
exchange [FROM TO]     sends numbered frames from one port to another, and says how many came, out of order or damaged
                         --frames N, --size BYTES, --burst N
pktgen [PORT]          sends frames: --size BYTES, --rate FRAMES_A_SECOND, --frames N, --seconds N
dump [PORT]            prints each frame that comes: --count N, --write FILE.pcap, --promiscuous
forward [ONE OTHER]    from each port to the other: --stats, --interval MILLISECONDS
stats [PORT...]        what ports receive and send, drops what comes: --count N, --interval MILLISECONDS, --promiscuous
ping FROM TO [PORT]    asks the IPv4 address TO for echoes, as FROM: --count N, --interval MILLISECONDS, --size BYTES
answer IP [PORT]       answers as an IPv4 address

A port is the address of its device: 0000:01:00.0. All end in order with Ctrl-C.`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    frames: { type: 'string' },
    seconds: { type: 'string' },
    rate: { type: 'string' },
    size: { type: 'string' },
    burst: { type: 'string' },
    count: { type: 'string' },
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
  using ports = await openPorts(addresses, { promiscuous: what === 'forward' || values.promiscuous });
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
      const { seconds, ...found } = await exchange(first, second(), { ...numbers('size', 'burst'), frames, signal });
      console.table({ ...found, 'frames a second': Math.round(found.received / seconds) });
      if (found.received !== frames || found.misplaced + found.damaged > 0) process.exitCode = 1;
      return;
    }
    case 'pktgen': {
      const options = { ...numbers('size', 'rate', 'frames', 'seconds'), signal };
      const generated = await meanwhile(simulated && ((end) => drop(simulated, end)), () => pktgen(first, options));
      return console.log(describeGenerated(generated, Number(values.size ?? 60)));
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
