/** What the fast accessor gives up, and what it does not. */
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { addonPath, inChild, root, sanitized } from './support.js';

const library = JSON.stringify(pathToFileURL(path.join(root, 'dist/index.js')).href);

/** A child with a file mapped, `registers` its fast accessor, after the file has lost its bytes. */
const faulting = (then: string): ReturnType<typeof inChild> =>
  inChild(`
    process.env.VFIO_ADDON = ${JSON.stringify(addonPath)};
    import(${library}).then(({ native }) => {
      const fd = scratchFile(4096);
      const mapping = native().mmap(fd, 4096, 3, 1, 0);
      const registers = mapping.fastMmio;
      registers.write32(0, 7);
      fs.ftruncateSync(fd, 0);
      ${then}
    });
  `);

// The sanitizers' own handler would print a report first.
it.skipIf(sanitized)('an access that the bus refuses ends the process', () => {
  expect(faulting('registers.read32(0);').signal).toBe('SIGBUS');
  expect(faulting('registers.write32(0, 1);').signal).toBe('SIGBUS');
});

it('its batch forms throw instead', () => {
  const { status, output } = faulting(`
    for (const access of [
      () => registers.readRange(0, new Uint32Array(1)),
      () => registers.writeList(Uint32Array.of(0), Uint32Array.of(1)),
      () => registers.poll32(0, { mask: 1, wanted: 1, timeoutMilliseconds: 1 }),
    ]) try { access(); } catch (error) { console.log(error.code); }
  `);
  expect({ status, output }).toEqual({ status: 0, output: 'ERR_VFIO_BUS_FAULT\n'.repeat(3) });
});

it('after the end of the mapping it touches nothing, in optimized code too', () => {
  const { status, output } = inChild(`
    process.env.VFIO_ADDON = ${JSON.stringify(addonPath)};
    import(${library}).then(({ native }) => {
      const fd = scratchFile(4096);
      let mapping = native().mmap(fd, 4096, 3, 1, 0);
      const registers = mapping.fastMmio;
      const spin = (count) => { let sum = 0; for (let i = 0; i < count; i += 1) { registers.write32(4, i); sum += registers.read32(4); } return sum; };
      spin(200_000);
      mapping.unmap();
      fs.ftruncateSync(fd, 0);
      for (let i = 0; i < 2; i += 1) {
        try { spin(1); } catch (error) { console.log(error.name, error.message); }
        mapping = undefined;
        gc();
      }
      setImmediate(() => { gc(); try { registers.read64(0); } catch (error) { console.log(error.code); } });
    });
  `);
  expect({ status, output }).toEqual({ status: 0, output: 'ClosedError The mapping is closed\n'.repeat(2) + 'ERR_VFIO_CLOSED\n' });
});
