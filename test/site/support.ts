/** The site as npm run docs makes it, served as any web server would, and a browser to look at it. */
import { accessSync, constants, createReadStream, readdirSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { delimiter, extname, join } from 'node:path';
import { chromium, type Browser } from 'playwright-core';
import { root } from '../support/root.js';

export const site = join(root, 'site');

/** 'index.html', 'docs/api.html' and all others. */
export function pagesOfSite(): string[] {
  return readdirSync(site, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.html'));
}

const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css',
  '.js': 'text/javascript',
  '.svg': 'image/svg+xml',
};

export async function serve(): Promise<{ server: Server; address: string }> {
  const server = createServer(({ url = '/' }, response) => {
    const file = join(site, decodeURIComponent(new URL(url, 'http://site').pathname));
    const found = statSync(file, { throwIfNoEntry: false })?.isFile() === true;
    response.writeHead(found ? 200 : 404, { 'content-type': types[extname(file)] ?? 'text/plain; charset=utf-8' });
    if (found) createReadStream(file).pipe(response);
    else response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, address: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

function findChromium(): string {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
      const file = join(folder, name);
      try {
        accessSync(file, constants.X_OK);
        return file;
      } catch {}
    }
  }
  throw new Error('The site is looked at in Chromium, which is not there. On Debian: sudo apt-get install chromium');
}

/** Without its sandbox, which root does not get; it sees nothing but this site. */
export function startBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: findChromium(), args: ['--no-sandbox'] });
}
