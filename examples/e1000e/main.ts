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
import { exchange } from './exchange.js';
import { Forwarder } from './forward.js';
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
    const { seconds, ...found } = await exchange(one, other, { frames, size: Number(values.size), burst: Number(values.burst) });
    console.table({ ...found, 'frames a second': Math.round(found.received / seconds) });
    if (found.received !== frames || found.misplaced + found.damaged > 0) process.exitCode = 1;
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
