/**
 * A driver for Intel's 82574L: the whole of it is in this folder.
 *
 *   npx tsx examples/e1000e/main.ts exchange --frames 100000            two simulated cards, anywhere
 *   npx tsx examples/e1000e/main.ts exchange 0000:01:00.0 0000:02:00.0  two real ones with a cable
 *   npx tsx examples/e1000e/main.ts forward 0000:01:00.0 0000:02:00.0   from each port to the other, until Ctrl-C
 *   npx tsx examples/e1000e/main.ts stats 0000:01:00.0
 *   npx tsx examples/e1000e/main.ts ping 10.0.0.1 10.0.0.2 0000:01:00.0  as 10.0.0.1, whoever is at the other end of the cable
 *   npx tsx examples/e1000e/main.ts answer 10.0.0.1 0000:01:00.0         whoever asks for 10.0.0.1, until Ctrl-C
 *
 * exchange sends numbered frames from the first port to the second, and says how many came, out of order or damaged.
 */
import { parseArgs } from 'node:util';
import { bridge } from './bridge.js';
import { exchange } from './exchange.js';
import { answer, ping, whileAnswering } from './ping.js';
import { openPorts } from './ports.js';
import { Station } from './station.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    frames: { type: 'string', default: '100000' },
    size: { type: 'string' },
    burst: { type: 'string', default: '32' },
    count: { type: 'string', default: '4' },
    interval: { type: 'string', default: '1000' },
  },
});
const [what = 'exchange', ...given] = positionals;
const isIpv4 = (text: string): boolean => /^[\d.]+$/.test(text);
const addresses = given.filter((text) => !isIpv4(text));
const [ip, otherIp] = given.filter(isIpv4);
const size = values.size === undefined ? {} : { size: Number(values.size) };
const stop = new AbortController();
const { signal } = stop;
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());

using ports = await openPorts(addresses, { promiscuous: what === 'forward' });
const [one, other] = ports.cards;
if (one === undefined) throw new Error('There is no port');

/** For what takes two ends of a cable. */
function both(): typeof other & object {
  if (other === undefined) throw new Error(`${what} takes the addresses of two ports`);
  return other;
}

function needed(address: string | undefined): string {
  if (address === undefined) throw new Error(`${what} takes ${what === 'ping' ? 'two IPv4 addresses' : 'an IPv4 address'}`);
  return address;
}

switch (what) {
  case 'exchange': {
    const frames = Number(values.frames);
    const { seconds, ...found } = await exchange(one, both(), { ...size, frames, burst: Number(values.burst), signal });
    console.table({ ...found, 'frames a second': Math.round(found.received / seconds) });
    if (found.received !== frames || found.misplaced + found.damaged > 0) process.exitCode = 1;
    break;
  }
  case 'forward': {
    const [there, back] = await bridge(one, both(), signal);
    console.log(`forwarded ${there} and ${back} frames`);
    break;
  }
  case 'stats':
    for (const card of ports.cards) console.log(card.station, card.link, card.statistics());
    break;
  case 'ping': {
    const [from, to] = [new Station(one, needed(ip)), needed(otherIp)];
    const options = { ...size, count: Number(values.count), intervalMilliseconds: Number(values.interval), signal };
    const lost = await whileAnswering(other, to, () => ping(from, to, options));
    if (lost > 0) process.exitCode = 1;
    break;
  }
  case 'answer':
    await answer(one, other, needed(ip), signal);
    break;
  default:
    throw new Error(`There is no '${what}', but exchange, forward, stats, ping and answer`);
}
