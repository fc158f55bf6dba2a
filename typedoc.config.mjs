/**
 * The docs as a site: docs/ and the docstrings of everything that can be imported. README.md decides which pages there are,
 * in what order and in what groups, by the lists of links at its end.
 */
import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Converter, DocumentReflection, KindRouter, ReflectionKind } from 'typedoc';

const root = dirname(fileURLToPath(import.meta.url));
const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** Each page's group. */
const groups = new Map();
let group;
for (const line of readFileSync(join(root, 'README.md'), 'utf8').split('\n')) {
  group = /^\*\*(.+)\*\*$/.exec(line)?.[1] ?? (line.startsWith('#') ? undefined : group);
  if (group !== undefined) for (const [, page] of line.matchAll(/\]\(([^)#:]+\.md)\)/g)) groups.set(page, group);
}

/** Pages have the name of their heading, and source files that pages link to become pages. */
function arrange({ converter, renderer }) {
  renderer.defineRouter('pages', Router);
  converter.on(Converter.EVENT_CREATE_DOCUMENT, (_context, page) => {
    const path = relative(root, page.project.files.getReflectionPath(page));
    page.name = /^# (.+)$/m.exec(page.content[0].text)[1].replaceAll('`', '');
    page.frontmatter.group = groups.get(path);
  });
  converter.on(
    Converter.EVENT_RESOLVE_BEGIN,
    ({ project }) => {
      for (const path of [...project.files.getMediaPaths()].filter((each) => each.endsWith('.ts'))) {
        const name = relative(root, path);
        const text = `# ${name}\n\n\`\`\`\`ts\n${readFileSync(path, 'utf8')}\`\`\`\`\n`;
        const page = new DocumentReflection(name, project, [{ kind: 'text', text }], { group: 'Source files' });
        project.addChild(page);
        project.registerReflection(page, undefined, path);
      }
    },
    -1000,
  );
}

/** Pages are found where their files are. */
class Router extends KindRouter {
  getIdealBaseName(target) {
    const path = target.kindOf(ReflectionKind.Document) && target.project.files.getReflectionPath(target);
    return path ? relative(root, path).replace(/\.md$/, '') : super.getIdealBaseName(target);
  }
}

export default {
  name: 'vfio',
  entryPoints: Object.values(exports)
    .filter((target) => typeof target === 'object')
    .map(({ types }) => types.replace('./dist', 'lib').replace('.d.ts', '.ts')),
  readme: 'README.md',
  projectDocuments: [...groups.keys()],
  plugin: [arrange],
  router: 'pages',
  out: 'site',
  customCss: 'docs/site.css',
  favicon: 'docs/diagrams/icon.svg',
  headings: { readme: false },
  hideGenerator: true,
  includeHierarchySummary: false,
  disableSources: true,
  excludeInternal: true,
  intentionallyNotExported: ['PartsOf', 'FieldsOf', 'Part', 'lib/pci/config-space/declaration.ts:Field', 'TestKernel'],
  treatWarningsAsErrors: true,
  // Headers, of hundreds of constants each: their own pages list them.
  navigationLeaves: ['vfio/abi', 'vfio/pci', 'vfio/vsva-2020', 'vfio/iommufd-rfc'],
  navigation: { includeGroups: true, excludeReferences: true },
  groupOrder: ['Getting started', 'Concepts', 'Guides', 'Reference', 'The project', 'Source files', '*'],
  searchInDocuments: true,
  searchInComments: true,
};
