/**
 * The public surface as text, one file for each entry point of package.json: sorted by name, signatures without docstrings. What
 * changes in one of these files changes for users.
 */
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CompilerState, Extractor, ExtractorConfig, ExtractorLogLevel } from '@microsoft/api-extractor';
import { withTemporaryFolder } from '../../lib/lab/temporary.js';
import { root } from '../support/root.js';

export const reportsFolder = join(root, 'api');

interface EntryPoint {
  /** What users import: 'vfio/sim'. */
  readonly name: string;
  /** The report's, below the folder. */
  readonly file: string;
  readonly declarations: string;
}

const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { exports: Record<string, { types?: string }> };
const entryPoints = Object.entries(exports).flatMap(([path, { types }]): EntryPoint[] => {
  if (types === undefined) return [];
  const name = join('vfio', path);
  return [{ name, file: `${name.replace('vfio/', '')}.api.md`, declarations: join(root, types) }];
});

/** Each report's file name and text, of the declarations that are in dist/. */
export async function reports(): Promise<Map<string, string>> {
  return withTemporaryFolder(join(tmpdir(), 'vfio-api-'), async (work) => reportsBy(work));
}

function reportsBy(work: string): Map<string, string> {
  const configs = entryPoints.map((entryPoint) => configOf(entryPoint, work));
  const compilerState = CompilerState.create(configs[0]!, {
    additionalEntryPoints: entryPoints.map(({ declarations }) => declarations),
  });
  return new Map(
    entryPoints.map(({ name, file }, index) => {
      const problems: string[] = [];
      Extractor.invoke(configs[index]!, {
        compilerState,
        localBuild: true,
        messageCallback(message) {
          if (message.logLevel === ExtractorLogLevel.Error) problems.push(message.text);
          message.handled = true;
        },
      });
      if (problems.length > 0) throw new Error(`The declarations of ${name} can not be reported: ${problems.join('; ')}`);
      return [file, plain(name, readFileSync(join(work, file), 'utf8'))];
    }),
  );
}

function configOf({ file, declarations }: EntryPoint, work: string): ExtractorConfig {
  const silent = { default: { logLevel: ExtractorLogLevel.None } };
  return ExtractorConfig.prepare({
    packageJsonFullPath: join(root, 'package.json'),
    configObjectFullPath: undefined,
    configObject: {
      projectFolder: root,
      newlineKind: 'lf',
      mainEntryPointFilePath: declarations,
      compiler: { tsconfigFilePath: join(root, 'tsconfig.json') },
      apiReport: { enabled: true, reportFileName: file, reportFolder: work, reportTempFolder: join(work, 'new') },
      docModel: { enabled: false },
      messages: {
        compilerMessageReporting: { default: { logLevel: ExtractorLogLevel.Error } },
        extractorMessageReporting: silent,
        tsdocMessageReporting: silent,
      },
    },
  });
}

/** Without what is said of docstrings: one that is added changes nothing for a program. */
function plain(name: string, report: string): string {
  const declarations = /```ts\n([\s\S]*)```/.exec(report)![1]!;
  const lines = declarations
    .split('\n')
    .filter((line) => !/^ *\/\/ (@public )?\(undocumented\)$|^\/\/ @public$|^\/\/ \(No @packageDocumentation|^ *\/\*\*.*\*\/$/.test(line));
  return `# ${name}\n\nWritten by \`npm run api\`.\n\n\`\`\`ts\n${lines.join('\n').trim()}\n\`\`\`\n`;
}
