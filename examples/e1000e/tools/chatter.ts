import { parseIpv4, parseStation } from '../addresses.js';
import { Burst } from '../burst.js';
import type { Card } from '../card.js';
import { Generator } from './generate.js';
import { arpRequest, writeArp, writeEcho, everyone } from '../packets.js';
import { rest } from '../rest.js';

const pauseMilliseconds = 200;

/** Says this and that, so that there is something to be seen at the other end of the cable, until the signal. */
export async function chatter(card: Card, signal: AbortSignal): Promise<void> {
  const own = { station: parseStation(card.station), address: parseIpv4('10.0.0.2') };
  const asked = { station: everyone, address: parseIpv4('10.0.0.1') };
  const generator = new Generator(card, { size: 60 });
  const burst = new Burst(3);
  for (let sequence = 1; !signal.aborted; sequence += 1) {
    const [arp, echo] = [card.pool.take(), card.pool.take()];
    if (arp !== undefined) burst.add(arp, writeArp(arp.bytes, arpRequest, own, asked));
    if (echo !== undefined) burst.add(echo, writeEcho(echo.bytes, own, asked, { identifier: 1, sequence, size: 56 }));
    generator.fill(burst);
    card.transmit.send(burst);
    await rest(pauseMilliseconds, signal);
  }
}
