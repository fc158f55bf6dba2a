/** The blocks of a page of Markdown. */

/** The texts of a language, without the indentation that a list gives them. */
export function fencedBlocks(page: string, language: string): string[] {
  return [...page.matchAll(new RegExp(`^( *)\`\`\`${language}\n([\\s\\S]*?)^ *\`\`\`$`, 'gm'))].map(([, indent = '', text = '']) =>
    text.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  );
}

/** The file of the page's program that a block of TypeScript begins or continues, if it is one of those. */
export function fileOfBlock(code: string): { readonly file: string; readonly continued: boolean } | undefined {
  const [, file, continued] = /^\/\/ ([\w.-]+\.ts)(, continued)?\n/.exec(code) ?? [];
  return file === undefined ? undefined : { file, continued: continued !== undefined };
}
