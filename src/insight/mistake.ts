/** What is wrong with an expression of -e, and where. */

/** Would make several lines of one. */
const CONTROL = /[\p{Cc}\u2028\u2029]/gu;

/** What is wrong with an expression. */
export class Mistake {
  /** Of the first wrong character, from 1. */
  readonly column: number;
  /** What is wrong there, and what is allowed. */
  readonly text: string;
  constructor(column: number, text: string) {
    this.column = column;
    this.text = text;
  }
  /** The same of a text that begins so many characters further on. */
  behind(characters: number): Mistake {
    return new Mistake(this.column + characters, this.text);
  }
  /** One line, with the expression. */
  of(expression: string): string {
    const line = `-e ${expression}: column ${this.column}: ${this.text}`;
    return line.replace(CONTROL, '?');
  }
}
