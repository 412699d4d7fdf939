import { z } from 'zod';
import type { Setting } from './kinds.js';

const PATTERN = /^!?[a-z0-9*][a-z0-9._*-]{0,63}$/i;
/** Excludes every name. */
const NONE = '!*';

/**
 * A list of patterns of names, where `*` matches any text and a leading `!` excludes names: see {@link matchesNames}.
 * @param words words for the whole list, such as `on` and `off`, and their patterns
 */
export function namePatterns(
  env: string,
  names: string,
  example: string,
  about: string,
  words: Readonly<Record<string, readonly string[]>> = {},
): Setting<readonly string[]> {
  const given = z.union([z.array(z.string()), z.string().transform((text) => text.split(',').map((part) => part.trim()))]);
  const choices = Object.keys(words).map((word) => `${word}, `);
  return {
    env,
    about,
    fallback: Object.freeze([]),
    expected:
      `${choices.join('')}${choices.length > 0 ? 'or ' : ''}${names} separated by commas, ` +
      `with \`*\` for any text and \`!\` for exclusions, such as ${example}`,
    schema: given
      .transform((parts) => parts.filter((part) => part !== ''))
      .transform((parts) => (parts.length === 1 ? (words[(parts[0] as string).toLowerCase()] ?? parts) : parts))
      .pipe(z.array(z.string().regex(PATTERN))),
  };
}

/** The words of a list that is switched on or off as a whole. */
export const SWITCH_WORDS = { on: [], off: [NONE] } as const;

/** Returns whether a name matches one of the patterns, or there are only exclusions, and none of the exclusions matches it. */
export function matchesNames(patterns: readonly string[], name: string): boolean {
  const wanted = patterns.filter((pattern) => !pattern.startsWith('!'));
  const unwanted = patterns.filter((pattern) => pattern.startsWith('!')).map((pattern) => pattern.slice(1));
  return (wanted.length === 0 || wanted.some((pattern) => matches(pattern, name))) && !unwanted.some((pattern) => matches(pattern, name));
}

function matches(pattern: string, name: string): boolean {
  const parts = pattern.split('*').map((part) => part.replaceAll(/[.-]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`).test(name);
}
