/** Every link of the site leads to a page of it, and to a place there is on that page. */
import { readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { expect, it } from 'vitest';
import { pagesOfSite, site } from './support.js';

const pages = new Map(pagesOfSite().map((page) => [page, readFileSync(join(site, page), 'utf8')]));
const text = (attribute: string): string => decodeURIComponent(attribute.replaceAll('&amp;', '&'));

it('no link is broken', () => {
  const places = new Map(
    [...pages].map(([page, html]) => [page, new Set([...html.matchAll(/ id="([^"]+)"/g)].map(([, id = '']) => text(id)))]),
  );
  const broken: string[] = [];
  let followed = 0;
  for (const [page, html] of pages) {
    for (const [, attribute = ''] of html.matchAll(/<a [^>]*href="([^"]+)"/g)) {
      if (/^[a-z]+:/.test(attribute)) continue;
      const [path = '', place] = text(attribute).split('#');
      const target = path === '' ? page : normalize(join(dirname(page), path));
      const there = places.get(target);
      followed += 1;
      if (there === undefined || (place !== undefined && place !== '' && !there.has(place))) broken.push(`${page}: ${attribute}`);
    }
  }
  expect(followed).toBeGreaterThan(5000);
  expect(broken).toEqual([]);
});

it('no link leads to a file of the sources that is not shown as a page', () => {
  const raw = [...pages].flatMap(([page, html]) => [...html.matchAll(/href="([^"]+\.ts)"/g)].map(([, link]) => `${page}: ${link}`));
  expect(raw).toEqual([]);
});
