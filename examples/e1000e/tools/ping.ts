import { formatIpv4, parseIpv4 } from '../addresses.js';
import type { Card } from '../card.js';
import { checkedAbove } from '../checked.js';
import { rest } from '../rest.js';
import { UnansweredError, Station, type PingOptions } from '../station.js';

export interface AskOptions extends PingOptions {
  /** How often. */
  readonly count: number;
  readonly intervalMilliseconds: number;
  readonly signal: AbortSignal;
}

/** Asks an address for echoes and prints each, as ping(8) does. Returns how many were asked and not answered. */
export async function ping(station: Station, address: string, { count, intervalMilliseconds, ...options }: AskOptions): Promise<number> {
  checkedAbove('count', count);
  checkedAbove('intervalMilliseconds', intervalMilliseconds);
  const { signal } = options;
  const times: number[] = [];
  let asked = 0;
  while (asked < count && !signal.aborted) {
    asked += 1;
    const answer = await timed(station.ping(address, options));
    if (signal.aborted) break;
    if (typeof answer === 'number') times.push(answer);
    console.log(`icmp_seq=${asked} ${typeof answer === 'number' ? `from ${address}: time=${answer.toFixed(3)} ms` : answer}`);
    if (asked < count) await rest(intervalMilliseconds, signal);
  }
  console.log(`${asked} asked, ${times.length} answered`);
  if (times.length > 0) {
    const mean = times.reduce((sum, time) => sum + time, 0) / times.length;
    console.log(`least, mean, most: ${[Math.min(...times), mean, Math.max(...times)].map((time) => time.toFixed(3)).join(', ')} ms`);
  }
  return asked - times.length;
}

/** Answers as an address until the signal. Another card, if there is one, asks it once a second. */
export async function answer(card: Card, other: Card | undefined, address: string, signal: AbortSignal): Promise<void> {
  const station = new Station(card, address);
  const asking = other && ping(new Station(other, beside(address)), address, { count: Infinity, intervalMilliseconds: 1000, signal });
  await Promise.all([station.answer(signal), asking]);
  console.log(`answered ${station.answered.arp} ARP and ${station.answered.echo} echo requests`);
}

/** How long it took, or what to print instead where nothing came. */
async function timed(asked: Promise<number>): Promise<number | string> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof UnansweredError) return error.message;
    if ((error as Error).name === 'AbortError') return 'stopped';
    throw error;
  }
}

/** An address in the same network. */
function beside(address: string): string {
  const bytes = parseIpv4(address);
  bytes[3]! ^= 1;
  return formatIpv4(bytes);
}
