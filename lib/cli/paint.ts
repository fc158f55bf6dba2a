import { styleText } from 'node:util';

/** What parts of a text are, to be told apart where there are colours. */
const styles = { strong: 'bold', faint: 'dim', good: 'green', bad: 'red', doubtful: 'yellow', name: 'cyan' } as const;

export type Paint = (style: keyof typeof styles, text: string) => string;

export function painter(colours: boolean): Paint {
  // Whether there are colours is decided here: it is not standard output alone that is written to.
  return (style, text) => (colours ? styleText(styles[style], text, { validateStream: false }) : text);
}
