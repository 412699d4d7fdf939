import { quote } from './keys.js';

/** Fields of a hash or an entry of a stream as Redis has them; absent ones are null or missing. */
export type RawFields = Readonly<Record<string, string | null | undefined>>;

/** The first ms of the year 10000: what is later has no ISO 8601 form of four digits, and is nobody's time. */
const TIMES_END = 253_402_300_800_000;

/** True for ms since the epoch that may be a time. */
export function isTime(ms: unknown): boolean {
  return typeof ms === 'number' && Number.isFinite(ms) && ms >= 0 && ms < TIMES_END;
}

/**
 * Reads the fields of a record that anybody may have written. A field that cannot be read is null, and a problem of the record;
 * the others are read all the same. Never throws.
 */
export class HashReader {
  readonly #fields: RawFields;
  readonly #problems: string[] = [];

  constructor(fields: RawFields) {
    this.#fields = fields;
  }

  /** What is wrong with the fields that were read so far; null if nothing is. */
  get problem(): string | null {
    return this.#problems.length === 0 ? null : this.#problems.join('; ');
  }

  /** Null for an absent or empty field. */
  text(name: string): string | null {
    return this.#fields[name] || null;
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
    const text = this.#fields[name] ?? null;
    if (text === null) return null;
    return text === '1' || text === '0' ? text === '1' : this.#bad(name, '1 or 0', text);
  }

  /** One of some words; null for an absent or empty field. */
  oneOf<Word extends string>(name: string, words: readonly Word[]): Word | null {
    const text = this.text(name);
    if (text === null) return null;
    return words.find((word) => word === text) ?? this.#bad(name, `one of ${words.join(', ')}`, text);
  }

  /** A value as JSON; null for an absent or empty field. */
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

  /** A JSON list of strings; empty for an absent or empty field. Of a list with others, its strings. */
  strings(name: string): string[] {
    const value = this.json(name);
    if (value === null) return [];
    const strings = Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
    if (!Array.isArray(value) || strings.length < value.length) this.#bad(name, 'a JSON list of strings', this.text(name) ?? '');
    return strings;
  }

  /** Notes a problem that a parser found itself. */
  note(problem: string): void {
    this.#problems.push(problem);
  }

  #bad(name: string, expected: string, got: string): null {
    this.#problems.push(`${name}: expected ${expected}, got ${quote(got)}`);
    return null;
  }
}
