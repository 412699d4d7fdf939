import assert from 'node:assert/strict';
import type { Page } from 'playwright-core';

/** The page of the example, in one tab. */
export class ChatPage {
  constructor(readonly page: Page) {}

  async open(url: string): Promise<void> {
    await this.page.goto(url);
    await this.page.getByRole('textbox').waitFor();
  }

  async send(text: string): Promise<void> {
    await this.page.getByRole('textbox').fill(text);
    await this.page.getByRole('button', { name: 'Send' }).click();
  }

  stop(): Promise<void> {
    return this.page.getByRole('button', { name: 'Stop' }).click();
  }

  /** The newest answer. */
  async answer(): Promise<string> {
    return (await this.page.locator('article.assistant').allInnerTexts()).at(-1) ?? '';
  }

  /** Resolves once the newest answer has a line with this number. */
  async reached(line: number): Promise<void> {
    await this.page.locator('article.assistant').last().getByText(`${line}. Here`).waitFor();
  }

  async status(status: 'ready' | 'streaming'): Promise<void> {
    await this.page.locator('output', { hasText: status }).waitFor();
  }

  async questions(): Promise<string[]> {
    return this.page.locator('article.user').allInnerTexts();
  }
}

/** Checks that an answer has each word of its lines once, in order; the last line may be cut. Returns the number of whole lines. */
export function checkLines(answer: string): number {
  const lines = answer.trimEnd().split('\n');
  for (const [index, line] of lines.entries()) {
    const whole = `${index + 1}. Here, ${FACTS[(index + 1) % FACTS.length]}.`;
    assert.ok(line === whole || (index === lines.length - 1 && whole.startsWith(line)), `line ${index + 1}: ${line}\n${answer}`);
  }
  return lines.length - 1;
}

/** Of examples/chat/src/model.ts. */
const FACTS = ['stops land', 'answers go on', 'reloads lose nothing', 'tabs agree', 'workers may die', 'Redis remembers'];
