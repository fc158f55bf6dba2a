/** The network card's driver with itself at the other end of the cable, and with the kernel's own and its IP stack. */
import { execFile, execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { exchange } from '../../examples/e1000e/tools/exchange.js';
import { openCards } from '../../examples/e1000e/ports.js';
import { exchangeInThreads } from '../../examples/e1000e/tools/in-threads.js';
import { Station } from '../../examples/e1000e/station.js';
import { native } from 'vfio';
import { pollUntil } from 'vfio/driver';
import { addressesOf, firstOf, withKernelDriver } from './devices.js';

/** The two with a cable between them. */
const [left = '', right = ''] = addressesOf(0x8086, 0x10d3);
const kernelDriver = { driver: 'e1000e', find: (device: string): string | undefined => firstOf(`${device}/net`) };
const [ours, theirs] = ['10.77.0.1', '10.77.0.2'];
const run = promisify(execFile);

/** The kernel's card with an address, and its link up. */
function withStack<T>(use: () => Promise<T>): Promise<T> {
  return withKernelDriver(right, kernelDriver, async (name) => {
    execFileSync('busybox', ['ifconfig', name, theirs, 'netmask', '255.255.255.0', 'up']);
    // Its driver looks at the link some time after that; before, it sends and takes nothing.
    await pollUntil(() => readFileSync(`/sys/class/net/${name}/carrier`, 'utf8').startsWith('1') || undefined, {
      what: `the link of ${name}`,
      timeoutMilliseconds: 20_000,
    });
    return use();
  });
}

describe('Ethernet', { timeout: 600_000 }, () => {
  it('a million frames from port to port, none lost, twice, out of order or damaged', async () => {
    const frames = 1_000_000;
    using ports = await openCards(native(), [left, right], { promiscuous: true });
    const result = await exchange(ports.cards[0]!, ports.cards[1]!, { frames, size: 60 });
    expect(result).toMatchObject({ sent: frames, received: frames, misplaced: 0, damaged: 0 });
    console.log(`${Math.round(frames / result.seconds)} frames a second`);
  });

  it('of every size', async () => {
    using ports = await openCards(native(), [left, right], { promiscuous: true });
    for (const size of [60, 61, 64, 127, 128, 1024, 1513, 1514]) {
      const result = await exchange(ports.cards[1]!, ports.cards[0]!, { frames: 2000, size });
      expect([size, result.received, result.misplaced, result.damaged]).toEqual([size, 2000, 0, 0]);
    }
  });

  it('a queue of each port for each of two workers: their flows stay apart, none lost, out of order or damaged', async () => {
    const frames = 100_000;
    using ports = await openCards(native(), [left, right], { queues: 2, lent: true });
    const exchanged = await exchangeInThreads(ports.cards[0]!, ports.cards[1]!, { frames, size: 200 });
    for (const each of exchanged) expect(each).toMatchObject({ sent: frames, received: frames, misplaced: 0, damaged: 0 });
    expect(ports.cards[1]!.statistics()).toMatchObject({ received: 2 * frames, missed: 0, crcErrors: 0 });
    console.log(`${exchanged.map(({ seconds }) => Math.round(frames / seconds)).join(' and ')} frames a second`);
  });

  it("the kernel's IP stack says whose its address is, and answers each echo request", async () => {
    await withStack(async () => {
      using ports = await openCards(native(), [left]);
      const station = new Station(ports.cards[0]!, ours);
      for (const size of [0, 56, 57, 1472]) expect(await station.ping(theirs, { size, timeoutMilliseconds: 10_000 })).toBeGreaterThan(0);
    });
  });

  it('and gets its own answered', async () => {
    await withStack(async () => {
      using ports = await openCards(native(), [left]);
      const station = new Station(ports.cards[0]!, ours);
      const stop = new AbortController();
      const answering = station.answer(stop.signal);
      const { stdout } = await run('busybox', ['ping', '-c', '5', '-W', '10', ours]);
      stop.abort();
      await answering;
      expect(stdout).toContain('5 packets transmitted, 5 packets received, 0% packet loss');
      expect(station.answered.echo).toBe(5);
      expect(station.answered.arp).toBeGreaterThan(0);
    });
  });
});
