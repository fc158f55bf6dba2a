/**
 * A driver for Intel's 82574L: the whole of it is in this folder.
 *
 *   npx tsx examples/e1000e/main.ts exchange --frames 100000            two simulated cards, anywhere
 *   npx tsx examples/e1000e/main.ts exchange 0000:01:00.0 0000:02:00.0  two real ones with a cable
 *   npx tsx examples/e1000e/main.ts forward 0000:01:00.0 0000:02:00.0   from each port to the other, until Ctrl-C
 *   npx tsx examples/e1000e/main.ts stats 0000:01:00.0
 *
 * exchange sends numbered frames from the first port to the second, and says how many came, out of order or damaged.
 */
import { parseArgs } from 'node:util';
import { Burst } from './burst.js';
import { Forwarder } from './forward.js';
import { Generator, Verifier } from './generate.js';
import { openPorts } from './ports.js';

const idleTurns = 64;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    frames: { type: 'string', default: '100000' },
    size: { type: 'string', default: '60' },
    burst: { type: 'string', default: '32' },
  },
});
const [what = 'exchange', ...addresses] = positionals;
using ports = await openPorts(addresses, { promiscuous: true });
const [one, other = one] = ports.cards;
if (one === undefined || other === undefined) throw new Error('There is no port');

switch (what) {
  case 'exchange': {
    const frames = Number(values.frames);
    const [sending, receiving] = [new Burst(Number(values.burst)), new Burst(Number(values.burst))];
    const generator = new Generator(one, { size: Number(values.size) });
    const verifier = new Verifier(ports.pool);
    const begin = performance.now();
    // What is lost never comes: no more than a second without a frame.
    for (let quiet = performance.now(); verifier.received < frames && performance.now() - quiet < 1000;) {
      generator.fill(sending, frames);
      one.transmit.send(sending);
      if (other.receive.receive(receiving) === 0) {
        await new Promise(setImmediate);
        continue;
      }
      verifier.take(receiving);
      quiet = performance.now();
    }
    const seconds = (performance.now() - begin) / 1000;
    const { received, misplaced, damaged } = verifier;
    console.table({ sent: generator.made, received, misplaced, damaged, 'frames a second': Math.round(received / seconds) });
    if (received !== frames || misplaced + damaged > 0) process.exitCode = 1;
    break;
  }
  case 'forward': {
    const forwarders = [new Forwarder(one, other), new Forwarder(other, one)];
    let stopped = false;
    process.once('SIGINT', () => (stopped = true));
    for (let idle = 0; !stopped; idle += 1) {
      for (const forwarder of forwarders) if (forwarder.turn() > 0) idle = 0;
      // Where nothing comes, and now and then where much does, others have a turn.
      if (idle % idleTurns === 0) await new Promise(setImmediate);
    }
    console.log(`forwarded ${forwarders.map(({ forwarded }) => forwarded).join(' and ')} frames`);
    break;
  }
  case 'stats':
    for (const card of ports.cards) console.log(card.station, card.link, card.statistics());
    break;
  default:
    throw new Error(`There is no '${what}', but exchange, forward and stats`);
}
