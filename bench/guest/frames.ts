/**
 * Frames a second through the example driver of a network card, as testpmd counts them in its modes of the same names: sends
 * what it makes; receives what comes and gives it back; sends from each port what another received.
 *
 *   frames txonly|rxonly|io SECONDS ADDRESS...
 */
import { Burst } from '../../examples/e1000e/burst.js';
import { Forwarder } from '../../examples/e1000e/forward.js';
import { Generator } from '../../examples/e1000e/tools/generate.js';
import { warmUpMilliseconds } from './measure.js';
import { openPorts } from '../../examples/e1000e/ports.js';

const [mode, seconds, ...addresses] = process.argv.slice(2);
const size = 60;
/** As testpmd has them by itself. */
const burstSize = 32;
/** How long the event loop waits at most. */
const turnMilliseconds = 10;

using ports = await openPorts(addresses, { promiscuous: true });
const [one, other = one] = ports.cards;
if (one === undefined || other === undefined) throw new Error('There is no port');
const burst = new Burst(burstSize);

/** A turn: how many frames it moved. */
const turns: Readonly<Record<string, () => number>> = {
  txonly() {
    generator.fill(burst);
    return one.transmit.send(burst);
  },
  rxonly() {
    const count = one.receive.receive(burst);
    burst.giveBack(ports.pool);
    return count;
  },
  io: () => there.turn() + back.turn(),
};
const generator = new Generator(one, { size, isFilled: false });
const [there, back] = [new Forwarder(one, other), new Forwarder(other, one)];
const turn = turns[mode ?? ''];
if (turn === undefined) throw new Error(`There is no ${mode}, but ${Object.keys(turns).join(', ')}`);

async function count(seconds: number): Promise<number> {
  const begin = performance.now();
  let [frames, now] = [0, begin];
  while (now < begin + 1000 * seconds) {
    const next = now + turnMilliseconds;
    while (now < next) {
      for (let index = 0; index < 16; index += 1) frames += turn!();
      now = performance.now();
    }
    await new Promise(setImmediate);
  }
  return (1000 * frames) / (now - begin);
}

// What goes round from port to port by itself: two bursts from each.
if (mode === 'io')
  for (const card of [one, one, other, other]) {
    new Generator(card, { size, isFilled: false }).fill(burst);
    card.transmit.send(burst);
  }
// V8 compiles what it has seen a while.
await count(warmUpMilliseconds / 1000);
console.log(`${mode} ${await count(Number(seconds))}`);
