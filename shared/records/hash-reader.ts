import { quote } from '../keys.js';

/** The raw fields of a hash or a stream entry; an absent field is null or missing. */
type RawFields = Readonly<Record<string, string | null | undefined>>;

/** The first ms of the year 10000, which ISO 8601 cannot write with a four-digit year. */
const TIMES_END = 253_402_300_800_000;

/** True for ms since the epoch, before the year 10000. */
export function isTime(ms: unknown): boolean {
  return typeof ms === 'number' && Number.isFinite(ms) && ms >= 0 && ms < TIMES_END;
}

/** Reads a record that any program may have written. An unreadable field becomes null and is noted in `problem`. Never throws. */
export class HashReader {
  readonly #read: (name: string) => string | null | undefined;
  readonly #problems: string[] = [];

  /** @param fields the raw fields, or a function that returns the one of a name */
  constructor(fields: RawFields | ((name: string) => string | null)) {
    this.#read = typeof fields === 'function' ? fields : (name) => fields[name];
  }

  /** The problems of the fields read so far; null if there are none. */
  get problem(): string | null {
    return this.#problems.length === 0 ? null : this.#problems.join('; ');
  }

  /** Null for an absent or empty field. */
  text(name: string): string | null {
    return this.#read(name) || null;
  }

  /** A finite number; null for an absent or empty field. */
  signed(name: string): number | null {
    const text = this.text(name);
    if (text === null) return null;
    const number = Number(text);
    return Number.isFinite(number) ? number : this.#bad(name, 'a number', text);
  }

  /** A finite number of at least 0; null for an absent or empty field. */
  number(name: string): number | null {
    const number = this.signed(name);
    return number === null || number >= 0 ? number : this.#bad(name, 'a number of at least 0', String(number));
  }

  /** A safe integer of at least 0; null for an absent or empty field. */
  whole(name: string): number | null {
    const text = this.text(name);
    if (text === null) return null;
    const number = Number(text);
    return Number.isSafeInteger(number) && number >= 0 ? number : this.#bad(name, 'a whole number', text);
  }

  /** A time in ms since the epoch, as a number; null for an absent or empty field. */
  ms(name: string): number | null {
    const text = this.text(name);
    if (text === null) return null;
    const ms = Number(text);
    return isTime(ms) ? ms : this.#bad(name, 'ms since the epoch', text);
  }

  /** A time; null for an absent or empty field. */
  time(name: string): Date | null {
    const ms = this.ms(name);
    return ms === null ? null : new Date(ms);
  }

  /** `1` or `0`; null for an absent field. */
  flag(name: string): boolean | null {
    const text = this.#read(name) ?? null;
    if (text === null) return null;
    return text === '1' || text === '0' ? text === '1' : this.#bad(name, '1 or 0', text);
  }

  /** One of the given words; null for an absent or empty field. */
  oneOf<Word extends string>(name: string, words: readonly Word[]): Word | null {
    const text = this.text(name);
    if (text === null) return null;
    return words.find((word) => word === text) ?? this.#bad(name, `one of ${words.join(', ')}`, text);
  }

  /** A JSON value; null for an absent or empty field. */
  json(name: string): unknown {
    const text = this.text(name);
    if (text === null) return null;
    try {
      return JSON.parse(text) as unknown;
    } catch {
      return this.#bad(name, 'JSON', text);
    }
  }

  /** A JSON object; null for an absent or empty field. */
  object(name: string): Record<string, unknown> | null {
    const value = this.json(name);
    if (value === null) return this.text(name) === 'null' ? this.#bad(name, 'a JSON object', 'null') : null;
    return typeof value === 'object' && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : this.#bad(name, 'a JSON object', this.text(name) ?? '');
  }

  /** The strings of a JSON list; empty for an absent or empty field. */
  strings(name: string): string[] {
    const value = this.json(name);
    if (value === null) return [];
    const strings = Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : [];
    if (!Array.isArray(value) || strings.length < value.length) this.#bad(name, 'a JSON list of strings', this.text(name) ?? '');
    return strings;
  }

  /** Adds a problem that the caller found. */
  note(problem: string): void {
    this.#problems.push(problem);
  }

  #bad(name: string, expected: string, got: string): null {
    this.#problems.push(`${name}: expected ${expected}, got ${quote(got)}`);
    return null;
  }
}
