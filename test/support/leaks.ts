/** After each test: no fd, no device mapping and no event-loop handle more than before it. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect } from 'vitest';

interface Held {
  readonly files: readonly string[];
  readonly mappings: readonly string[];
  readonly handles: readonly string[];
}

/** What a process holds that a driver could have left. Pipes and sockets are the test runner's. */
function held(): Held {
  if (process.platform !== 'linux') return { files: [], mappings: [], handles: process.getActiveResourcesInfo() };
  const files = readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return []; // the fd the listing itself used
    }
  });
  const maps = readFileSync('/proc/self/maps', 'utf8').split('\n');
  return {
    files: files.filter((name) => !/^(pipe|socket):|^\/proc\//.test(name)).sort(),
    mappings: maps.filter((line) => /\/dev\/vfio|anon_inode/.test(line)),
    handles: process
      .getActiveResourcesInfo()
      .filter((name) => !/Pipe|TTY|Message|FSReq|Port|Immediate/.test(name))
      .sort(),
  };
}

let before: Held;

function leaked(now: Held): boolean {
  return (
    String(now.files) !== String(before.files) ||
    String(now.mappings) !== String(before.mappings) ||
    now.handles.length > before.handles.length
  );
}

beforeEach(() => {
  before = held();
});

afterEach(async () => {
  // Handles close in later turns of the event loop, and the test runner's own timers come and go.
  let after = held();
  for (let waits = 0; waits < 200 && leaked(after); waits += 1) {
    await (waits < 20 ? turn() : delay(5));
    after = held();
  }
  expect(after.files, 'open files').toEqual(before.files);
  expect(after.mappings, 'mappings').toEqual(before.mappings);
  expect(after.handles.length, `event-loop handles: ${after.handles.join(' ')}`).toBeLessThanOrEqual(before.handles.length);
});
