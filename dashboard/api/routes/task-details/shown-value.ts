import { cutToBytes } from '../../../../shared/limits.js';
import { isSecretField } from '../../../../shared/log/secret-fields.js';

/** A JSON value as the API shows it. */
export interface ShownValue {
  readonly value: unknown;
  /** Whether parts were left out. */
  readonly cut: boolean;
  /** The paths of censored fields: `model.apiKey`, `servers[0].token`. */
  readonly censored: readonly string[];
}

const CENSORED = '***';
/** Bytes of a string in a value that is cut. */
const MAX_STRING_BYTES = 2_048;
/** Deeper values are left out: JSON may be nested deeper than a recursion can follow. */
const MAX_DEPTH = 64;

/**
 * Censors the secrets in a JSON value, by the field names that the logs censor, and cuts the value if it is too big: long strings end in
 * their size, and long lists and objects in the number of entries that were left out. `input` is no secret to a caller who may read it.
 * @param most bytes of the value as JSON from which on it is cut
 */
export function shownValue(value: unknown, bytes: number, most: number): ShownValue {
  const shown = new Shown(bytes > most ? most : Infinity);
  return { value: shown.of(value, '', 0), cut: shown.cut, censored: shown.censored };
}

class Shown {
  readonly censored: string[] = [];
  cut = false;
  /** Characters that may follow. */
  #left: number;

  constructor(most: number) {
    this.#left = most;
  }

  of(value: unknown, path: string, depth: number): unknown {
    if (typeof value === 'string') return this.#text(value);
    if (typeof value !== 'object' || value === null) {
      this.#left -= String(value).length;
      return value;
    }
    if (depth === MAX_DEPTH) return this.#mark(`nested deeper than ${MAX_DEPTH} levels`);
    return Array.isArray(value) ? this.#list(value, path, depth) : this.#object(Object.entries(value), path, depth);
  }

  #text(text: string): string {
    const shown = this.#left === Infinity ? text : cutToBytes(text, MAX_STRING_BYTES);
    this.cut ||= shown !== text;
    this.#left -= shown.length;
    return shown;
  }

  #list(list: readonly unknown[], path: string, depth: number): unknown[] {
    const shown: unknown[] = [];
    for (const [index, value] of list.entries()) {
      if (this.#left <= 0) return [...shown, this.#mark(`${list.length - index} of ${list.length} elements`)];
      shown.push(this.of(value, `${path}[${index}]`, depth + 1));
    }
    return shown;
  }

  #object(entries: readonly [string, unknown][], path: string, depth: number): Record<string, unknown> {
    const shown: [string, unknown][] = [];
    for (const [index, [name, value]] of entries.entries()) {
      if (this.#left <= 0) {
        shown.push(['…', this.#mark(`${entries.length - index} of ${entries.length} fields`)]);
        break;
      }
      const at = path === '' ? name : `${path}.${name}`;
      this.#left -= name.length;
      shown.push([name, isCensored(name, value) ? this.#censor(at) : this.of(value, at, depth + 1)]);
    }
    return Object.fromEntries(shown);
  }

  #censor(path: string): string {
    this.censored.push(path);
    return CENSORED;
  }

  #mark(what: string): string {
    this.cut = true;
    return `… (cut: ${what})`;
  }
}

function isCensored(name: string, value: unknown): boolean {
  return name !== 'input' && isSecretField(name) && value !== null && value !== '';
}
