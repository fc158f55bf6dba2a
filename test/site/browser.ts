/** The site as a reader sees it: in a browser, wide and narrow, light and dark. */
import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root } from '../support/root.js';
import { pagesOfSite, serve, startBrowser } from './support.js';

const measureContrast = readFileSync(join(root, 'test/site/contrast.js'), 'utf8');
let browser: Browser;
let server: Server;
let address: string;

beforeAll(async () => {
  browser = await startBrowser();
  ({ server, address } = await serve());
});
afterAll(async () => {
  await browser.close();
  server.close();
});

async function inContext<T>(options: Parameters<Browser['newContext']>[0], action: (context: BrowserContext) => Promise<T>): Promise<T> {
  const context = await browser.newContext(options);
  try {
    return await action(context);
  } finally {
    await context.close();
  }
}

/** Opens one page after the other, and tells what is wrong with each. */
async function lookAt(page: Page, pages: readonly string[]): Promise<string[]> {
  const problems: string[] = [];
  let current = '';
  const problem = (what: string): number => problems.push(`${current}: ${what}`);
  page.on('console', (message) => message.type() === 'error' && problem(message.text()));
  page.on('pageerror', (error) => problem(error.message));
  page.on('response', (response) => response.status() >= 400 && problem(`${response.status()} ${response.url()}`));
  for (current of pages) {
    await page.goto(`${address}/${current}`);
    if ((await page.locator('h1').count()) === 0) problem('no heading');
    const overflow = await page.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth');
    if (overflow !== 0) problem(`${overflow} pixels wider than the screen`);
  }
  return problems;
}

// Of the thousand pages about one name each, which come out of the same few templates, one in forty.
it('pages render without an error, and are no wider than the screen', async () => {
  const pages = pagesOfSite().filter((page, index) => !/^(classes|functions|interfaces|types|variables)\//.test(page) || index % 40 === 0);
  const look = (width: number): Promise<string[]> =>
    inContext({ viewport: { width, height: 800 } }, async (context) => lookAt(await context.newPage(), pages));
  const [wide, narrow] = await Promise.all([look(1280), look(390)]);
  expect(pages.length).toBeGreaterThan(60);
  expect({ wide, narrow }).toEqual({ wide: [], narrow: [] });
}, 600_000);

describe('the search', () => {
  it.each([
    ['enableBusMaster', /classes\/vfio\.(Cdev|Device)\.html#enablebusmaster$/i, 'enableBusMaster'],
    ['VFIO_IOMMU_MAP_DMA', /variables\/vfio_abi\.VFIO_IOMMU_MAP_DMA\.html$/, 'VFIO_IOMMU_MAP_DMA'],
    ['troubleshooting', /docs\/troubleshooting\.html$/, 'By symptom'],
    ['hugepagesz', /docs\/memory\.html$/, 'hugepagesz=1G'],
  ])('finds %s, and leads there', async (word, place, text) => {
    await inContext({}, async (context) => {
      const page = await context.newPage();
      await page.goto(`${address}/index.html`);
      await page.locator('#tsd-search-trigger').click();
      await page.locator('#tsd-search-input').pressSequentially(word);
      await page.locator('#tsd-search-results a').first().click();
      await page.waitForURL((url) => place.test(url.href));
      expect(await page.locator('.col-content').textContent()).toContain(text);
    });
  });
});

it('light and dark differ, and texts and code stand out in both', async () => {
  const seen = await Promise.all(
    (['light', 'dark'] as const).map((colorScheme) =>
      inContext({ colorScheme }, async (context) => {
        const page = await context.newPage();
        await page.goto(`${address}/docs/api.html`);
        return await page.evaluate<{ background: string; least: Record<string, number> }>(measureContrast);
      }),
    ),
  );
  expect(seen[0]?.background).not.toBe(seen[1]?.background);
  for (const { least } of seen) for (const [kind, contrast] of Object.entries(least)) expect(contrast, kind).toBeGreaterThanOrEqual(4.5);
});

it('the navigation has the groups of the README, in its order', async () => {
  await inContext({}, async (context) => {
    const page = await context.newPage();
    await page.goto(`${address}/index.html`);
    await page.locator('.tsd-navigation summary').first().waitFor();
    const groups = await page.locator('#tsd-nav-container > li > details > summary').allInnerTexts();
    expect(groups.map((group) => group.trim())).toEqual([
      'Getting started',
      'Concepts',
      'Guides',
      'Reference',
      'The project',
      'Source files',
      'Modules',
    ]);
  });
});
