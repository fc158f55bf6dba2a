/** What errors, docs and forms say to type: each `npx vfio` has a sub-command and options that there are. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { makeProgram } from '../../lib/cli/program.js';
import { root } from '../support/root.js';

const places = ['lib', 'docs', 'examples', '.github', 'README.md', 'CONTRIBUTING.md', 'SECURITY.md'];
const files = places.flatMap((place) =>
  place.includes('.md')
    ? [place]
    : readdirSync(join(root, place), { recursive: true, encoding: 'utf8' })
        .filter((name) => /\.(ts|md|yml)$/.test(name))
        .map((name) => `${place}/${name}`),
);
const mentions = files.flatMap((file) =>
  [...readFileSync(join(root, file), 'utf8').matchAll(/npx vfio(?: --sim \S+)? ([a-z]+)([^`'";\n]*)/g)].map(
    ([line, name = '', rest = '']) => ({
      line: `${file}: ${line}`,
      name,
      // What is behind the dashes, or a comment, is not the command's.
      own: rest.split(/ -- | #/)[0] ?? '',
    }),
  ),
);
const { commands } = makeProgram('0.0.0');

it('there are many', () => expect(mentions.length).toBeGreaterThan(80));

it.each(mentions)('$line', ({ name, own }) => {
  const command = commands.find((each) => each.name() === name);
  expect(command).toBeDefined();
  const known = command!.options.map(({ long }) => long);
  for (const [option] of own.matchAll(/--[\w-]+/g)) expect(known).toContain(option);
});
