import { Burst } from '../../examples/e1000e/burst.js';
import { Generator } from '../../examples/e1000e/generate.js';
import { openPorts } from '../../examples/e1000e/ports.js';
const addresses = process.argv.slice(2);
using ports = await openPorts(addresses, { promiscuous: true });
const [one] = ports.cards;
const burst = new Burst(32);
const generator = new Generator(one!, { size: 60, isFilled: false });
function time(name: string, run: () => number, ms = 1000) {
  const out: number[] = [];
  for (let s = 0; s < 6; s++) {
    const b = performance.now();
    let n = 0,
      now = b;
    while (now < b + ms) {
      for (let i = 0; i < 16; i++) n += run();
      now = performance.now();
    }
    out.push(Math.round(((now - b) * 1e6) / n));
  }
  console.log(name, out.join(' '), 'ns per packet');
}
const blocks: any[] = [];
time('take+give', () => {
  for (let i = 0; i < 32; i++) blocks[i] = ports.pool.take();
  for (let i = 0; i < 32; i++) ports.pool.give(blocks[i]);
  return 32;
});
time('fill', () => {
  generator.fill(burst);
  const n = burst.count;
  for (let i = 0; i < n; i++) ports.pool.give(burst.blocks[i]!);
  burst.count = 0;
  return n;
});
time('send', () => {
  for (let i = 0; i < 32; i++) burst.add(ports.pool.take()!, 60);
  const n = one!.transmit.send(burst);
  for (let i = 0; i < burst.count; i++) ports.pool.give(burst.blocks[i]!);
  burst.count = 0;
  return n;
});
time('tail only', () => {
  (one as any).registers.STATUS.read();
  return 1;
});
time('all', () => {
  generator.fill(burst);
  return one!.transmit.send(burst);
});
