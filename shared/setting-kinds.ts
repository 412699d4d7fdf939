import { z } from 'zod';

export interface Setting<Value> {
  /** The environment variable. */
  readonly env: string;
  readonly schema: z.ZodType<Value>;
  /** What a good value is; completes the sentence "expected …". */
  readonly expected: string;
  /** The same for code that embeds the fleet, where its unit is another. */
  readonly expectedInCode?: string;
  readonly fallback: Value;
  readonly about: string;
  /** A secret is never repeated in a message. */
  readonly secret?: true;
  /** Another name of the variable; it counts where the first one is not set. */
  readonly alias?: string;
  /** Says more of a bad value than {@link expected} does: "expected …, got …". Null if there is no more to say. */
  readonly explain?: (value: unknown) => string | null;
  /** Says how a value was changed to be usable; null if it was not. */
  readonly notice?: (value: unknown) => string | null;
}

export function integer(env: string, fallback: number, min: number, max: number, about: string): Setting<number> {
  return {
    env,
    fallback,
    about,
    expected: `a whole number from ${min} to ${max}`,
    schema: z.union([z.number(), z.string().regex(/^\d+$/).transform(Number)]).pipe(z.int().min(min).max(max)),
  };
}

/** Seconds in the environment, as open-webui has them; milliseconds in {@link Settings}. */
export function seconds(env: string, fallbackMs: number, min: number, max: number, about: string): Setting<number> {
  return {
    env,
    fallback: fallbackMs,
    about,
    expected: `seconds, a number from ${min} to ${max}`,
    expectedInCode: `milliseconds, a number from ${min * 1_000} to ${max * 1_000}`,
    schema: z
      .union([
        z.number(),
        z
          .string()
          .regex(/^\d+(\.\d+)?$/)
          .transform((text) => Number(text) * 1_000),
      ])
      .pipe(
        z
          .number()
          .min(min * 1_000)
          .max(max * 1_000),
      ),
  };
}

/** Milliseconds, also with a fraction. */
export function milliseconds(env: string, fallback: number, min: number, max: number, about: string): Setting<number> {
  return {
    env,
    fallback,
    about,
    expected: `milliseconds, a number from ${min} to ${max}`,
    schema: z
      .union([
        z.number(),
        z
          .string()
          .regex(/^\d+(\.\d+)?$/)
          .transform(Number),
      ])
      .pipe(z.number().min(min).max(max)),
  };
}

/** The same setting, which may be 0 as well. */
export function orZero(setting: Setting<number>): Setting<number> {
  const { expected, expectedInCode, schema } = setting;
  return {
    ...setting,
    expected: `0 or ${expected}`,
    ...(expectedInCode !== undefined && { expectedInCode: `0 or ${expectedInCode}` }),
    schema: z.union([
      z.literal(0),
      z
        .string()
        .regex(/^0+(\.0+)?$/)
        .transform(() => 0),
      schema,
    ]),
  };
}

/** A whole number of which 0 means the default, and too large a one the largest. */
export function cappedInteger(env: string, fallback: number, max: number, what: string, about: string): Setting<number> {
  const { schema, ...setting } = integer(env, fallback, 0, 2 ** 31 - 1, about);
  return {
    ...setting,
    schema: schema.transform((value) => (value === 0 ? fallback : Math.min(value, max))),
    notice: (value) => (Number(value) > max ? `${env}: ${Number(value)} is more than the limit; ${max} ${what} are used` : null),
  };
}

export function list(env: string, separator: RegExp, expected: string, about: string, item: z.ZodType<string, string>) {
  const setting: Setting<readonly string[]> = {
    env,
    expected,
    about,
    fallback: Object.freeze([]),
    schema: z
      .union([z.array(z.string()), z.string().transform((text) => text.split(separator).map((part) => part.trim()))])
      .transform((parts) => parts.filter((part) => part !== ''))
      .pipe(z.array(item)),
  };
  return setting;
}

const FLAG_WORDS = { true: true, 1: true, yes: true, on: true, false: false, 0: false, no: false, off: false } as const;

export function flag(env: string, fallback: boolean, about: string): Setting<boolean> {
  return {
    env,
    fallback,
    about,
    expected: 'true or false',
    schema: z.union([
      z.boolean(),
      z
        .string()
        .toLowerCase()
        .refine((word) => Object.hasOwn(FLAG_WORDS, word))
        .transform((word) => FLAG_WORDS[word as keyof typeof FLAG_WORDS]),
    ]),
  };
}

/** Null if it is not set. */
export function optionalFlag(env: string, about: string): Setting<boolean | null> {
  const setting = flag(env, false, about);
  return { ...setting, fallback: null, schema: z.union([z.null(), setting.schema]) };
}

export function choice<const Word extends string>(
  env: string,
  fallback: NoInfer<Word>,
  words: readonly Word[],
  about: string,
): Setting<Word> {
  return { env, fallback, about, expected: `one of ${words.join(', ')}`, schema: z.string().toLowerCase().pipe(z.enum(words)) };
}

export function optionalText(
  env: string,
  expected: string,
  about: string,
  schema: z.ZodType<string> = z.string().min(1),
): Setting<string | null> {
  return { env, expected, about, fallback: null, schema: z.union([z.null(), schema]) };
}

export function matchingText(env: string, fallback: string, expected: string, about: string, pattern: RegExp): Setting<string> {
  return { env, expected, about, fallback, schema: z.string().regex(pattern) };
}

export const httpUrl = z.url({ protocol: /^https?$/ });
