import { styleText } from 'node:util';
import { MultiBar } from 'cli-progress';

type Style = 'bold' | 'cyan' | 'dim' | 'green' | 'red' | 'yellow';

/** A progress bar: the number of steps done, and a text beside it. */
export type UpdateBar = (done: number, text: string) => void;

const NAME_WIDTH = 18;
const LINE_EVERY_MS = 2_000;
const CLEAR_RIGHT = '\u001b[K';

/** The demo's output: lines, and on a terminal progress bars below them. */
export class Screen {
  readonly #bars: MultiBar;
  readonly #byName = new Map<string, UpdateBar>();
  #live = false;

  constructor(private readonly out: NodeJS.WriteStream) {
    this.#bars = new MultiBar({
      ...{ stream: out, format: '  {name} {bar} {value}/{total}  {text}', barsize: 20, fps: 10, autopadding: true, hideCursor: true },
      ...{ barCompleteChar: '━', barIncompleteChar: '┄', linewrap: false },
      // Lines above the bars move them.
      forceRedraw: true,
      // The demo handles Ctrl+C.
      gracefulExit: false,
    });
  }

  say(line: string, style?: Style): void {
    const text = style && this.out.isTTY && this.out.hasColors() ? styleText(style, line) : line;
    if (this.#live) this.#bars.log(`${text}${CLEAR_RIGHT}\n`);
    else this.out.write(`${text}\n`);
  }

  /** Returns the bar of this name; adds it at first. Without a terminal, it prints a line every two seconds instead. */
  bar(name: string, total: number): UpdateBar {
    const update = this.#byName.get(name) ?? (this.out.isTTY ? this.#addBar(name, total) : this.#linesOf(name, total));
    this.#byName.set(name, update);
    return update;
  }

  /** Leaves the bars as they are; further lines go below them. */
  endBars(): void {
    if (!this.#live) return;
    this.#bars.update();
    this.#bars.stop();
    this.#live = false;
  }

  #addBar(name: string, total: number): UpdateBar {
    this.#live = true;
    const bar = this.#bars.create(total, 0, { name: name.padEnd(NAME_WIDTH), text: '' });
    return (done, text) => bar.update(done, { text });
  }

  #linesOf(name: string, total: number): UpdateBar {
    let last = performance.now();
    return (done, text) => {
      if (performance.now() - last < LINE_EVERY_MS) return;
      last = performance.now();
      this.say(`  ${name.padEnd(NAME_WIDTH)} ${done}/${total}  ${text}`);
    };
  }
}
