/** The tools of the network card's example, on two simulated cards with a cable. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { chatter } from '../../examples/e1000e/tools/chatter.js';
import { drop } from '../../examples/e1000e/tools/drop.js';
import { dump } from '../../examples/e1000e/tools/dump.js';
import { meanwhile } from '../../examples/e1000e/tools/meanwhile.js';
import { answer, ping } from '../../examples/e1000e/tools/ping.js';
import { describeGenerated, pktgen } from '../../examples/e1000e/tools/pktgen.js';
import { Station } from '../../examples/e1000e/station.js';
import { stats } from '../../examples/e1000e/tools/stats.js';
import { readPcap } from 'vfio/sim';
import { open, wiredModels } from './e1000e-cards.js';

const never = new AbortController().signal;

it('dump prints each frame and keeps it in a file', async () => {
  const { one, other, pool } = await open(wiredModels());
  const folder = mkdtempSync(join(tmpdir(), 'vfio-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const write = join(folder, 'frames.pcap');
  const free = pool.free;
  const lines: string[] = [];
  const options = { count: 3, write, signal: never, print: (line: string) => lines.push(line) };
  const seen = await meanwhile(
    (end) => chatter(other, end),
    () => dump(one, options),
  );
  expect(seen).toBe(3);
  expect(lines.map((line) => line.replace(/^[\d:.]{12} .*?: /, '').slice(0, 28))).toEqual([
    'ARP, Request who-has 10.0.0.',
    'IP 10.0.0.2 > 10.0.0.1: ICMP',
    'ethertype 0x88b5: 0000000000',
  ]);
  const frames = readPcap(readFileSync(write));
  expect(frames.map(({ bytes }) => bytes.byteLength)).toEqual([60, 98, 60]);
  expect(Math.abs(Number(frames[0]!.time / 1_000_000n) - Date.now())).toBeLessThan(60_000);
  other.transmit.reclaim();
  expect(pool.free).toBe(free);
  await expect(dump(one, { ...options, write: join(folder, 'none', 'x') })).rejects.toMatchObject({ code: 'ENOENT' });
  await expect(dump(one, { ...options, count: 0 })).rejects.toThrow(RangeError);
});

it('pktgen sends as many frames as it is to, or for as long, as fast as it is to', async () => {
  const { one, other, pool } = await open(wiredModels());
  const free = pool.free;
  const done = new AbortController();
  const dropping = drop(other, done.signal);
  expect(await pktgen(one, { frames: 1000, size: 1514, signal: never })).toMatchObject({ sent: 1000 });
  const slow = await pktgen(one, { rate: 1000, seconds: 0.2, signal: never });
  expect([slow.sent <= 200, slow.sent > 0]).toEqual([true, true]);
  const stopped = await pktgen(one, { signal: AbortSignal.timeout(30) });
  expect(stopped.sent).toBeGreaterThan(0);
  done.abort();
  const dropped = await dropping;
  expect(dropped + pool.count - free).toBeGreaterThan(1000 + slow.sent);
  expect([one.transmit.pending, pool.free]).toEqual([0, free]);
  await expect(pktgen(one, { rate: 0, signal: never })).rejects.toThrow('Expected a number above 0 for rate but received 0');
  expect(describeGenerated({ sent: 1000, seconds: 2 }, 60)).toBe(
    'sent 1000 frames of 60 bytes in 2.00 s: 500 frames/s, 0.3 Mbit/s on the cable',
  );
});

it('stats shows rates and errors, and redraws them on a terminal', async () => {
  const { one, other, cards } = await open(wiredModels());
  let text = '';
  const output = { isTTY: true, write: (part: string | Uint8Array) => (text += String(part)) !== '' };
  await meanwhile(
    (end) => Promise.all([chatter(other, end), drop(one, end)]),
    () => stats(cards, { count: 2, intervalMilliseconds: 250, signal: never, output }),
  );
  expect(text).toMatch(
    /^52:54:00:00:00:01 1000 Mbit\/s \| in \d+ frames\/s \d+\.\d Mbit\/s \| out 0 frames\/s 0\.0 Mbit\/s \| no errors\n/,
  );
  expect(text.split('\x1b[2A')).toHaveLength(2);
  await stats(cards, { intervalMilliseconds: 60_000, signal: AbortSignal.timeout(10), output });
  await expect(stats(cards, { intervalMilliseconds: 0, signal: never, output })).rejects.toThrow(RangeError);
});

it('ping prints who answers and who does not', async () => {
  const log = vi.spyOn(console, 'log').mockReturnValue();
  onTestFinished(() => log.mockRestore());
  const { one, other } = await open(wiredModels());
  const stop = new AbortController();
  const answering = answer(other, undefined, '10.0.0.2', stop.signal);
  const asking = { count: 2, intervalMilliseconds: 1, timeoutMilliseconds: 50, signal: never };
  expect(await ping(new Station(one, '10.0.0.1'), '10.0.0.2', { ...asking, timeoutMilliseconds: 5000 })).toBe(0);
  expect(await ping(new Station(one, '10.0.0.1'), '10.0.0.3', { ...asking, count: 1 })).toBe(1);
  stop.abort();
  await answering;
  const lines = log.mock.calls.map(([line]) => String(line).replaceAll(/[\d.]+(?= ms)|[\d.]+(?=, )/g, 'N'));
  expect(lines).toEqual([
    'icmp_seq=1 from 10.0.0.2: time=N ms',
    'icmp_seq=2 from 10.0.0.2: time=N ms',
    '2 asked, 2 answered',
    'least, mean, most: N, N, N ms',
    'icmp_seq=1 The station of 10.0.0.3 did not come within N ms',
    '1 asked, 0 answered',
    'answered 1 ARP and 2 echo requests',
  ]);
});

it('what goes wrong beside something is thrown when that is done', async () => {
  const beside = (): Promise<never> => Promise.reject(new Error('beside'));
  await expect(meanwhile(beside, async () => 1)).rejects.toThrow('beside');
  expect(await meanwhile(undefined, async () => 1)).toBe(1);
});
