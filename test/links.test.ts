/** What the pages link to is there: files, headings, pictures; and README.md, from which the site takes its order, lists every page. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from './support/root.js';

const docs = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'));
const pages = [...readdirSync(root).filter((name) => name.endsWith('.md')), ...docs.map((name) => `docs/${name}`)];

/** Without code, in which brackets are no links and hashes no headings. */
function proseOf(page: string): string {
  return readFileSync(join(root, page), 'utf8').replaceAll(/^ *```[\s\S]*?^ *```$/gm, '');
}

/** The anchors of its headings, as where the files are read as they are. */
function anchorsOf(page: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ''] of proseOf(page).matchAll(/^#+ (.+)$/gm)) {
    const plain = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
    const anchor = plain.replaceAll(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-');
    let unique = anchor;
    for (let count = 1; anchors.has(unique); count += 1) unique = `${anchor}-${count}`;
    anchors.add(unique);
  }
  return anchors;
}

function linksOf(page: string): string[] {
  const links = [
    ...proseOf(page)
      .replaceAll(/`[^`]*`/g, '')
      .matchAll(/\]\(([^)\s]+)\)/g),
  ].map(([, link = '']) => link);
  return links.filter((link) => !/^[a-z]+:/.test(link));
}

function brokenLinks(page: string): string[] {
  return linksOf(page).filter((link) => {
    const [path = '', anchor] = link.split('#');
    const target = path === '' ? page : normalize(join(dirname(page), path));
    if (!existsSync(join(root, target))) return true;
    return anchor !== undefined && !anchorsOf(target).has(anchor);
  });
}

it('there are links to look at', () => expect(pages.flatMap(linksOf).length).toBeGreaterThan(100));

describe('all links lead somewhere', () => {
  it.each(pages)('of %s', (page) => expect(brokenLinks(page)).toEqual([]));
});

it('README.md lists every page of docs/ under Documentation', () => {
  const [, list = ''] = /^## Documentation$([\s\S]*?)^## /m.exec(proseOf('README.md')) ?? [];
  const listed = [...list.matchAll(/\]\((docs\/[^)]+)\)/g)].map(([, page]) => page);
  expect(listed.sort()).toEqual(docs.map((name) => `docs/${name}`).sort());
});

it('every picture says what is in it', () => {
  const pictures = pages.flatMap((page) => [...proseOf(page).matchAll(/!\[([^\]]*)\]\(([^)]+)\)/g)]);
  expect(pictures.length).toBeGreaterThan(3);
  for (const [, text = '', file] of pictures) expect(text.length, file).toBeGreaterThan(40);
});
