import { z } from 'zod';

export interface Setting<Value> {
  /** The environment variable. */
  readonly env: string;
  readonly schema: z.ZodType<Value>;
  /** Describes a valid value; completes the sentence "expected …". */
  readonly expected: string;
  /** The same for embedding code, if its unit differs. */
  readonly expectedInCode?: string;
  readonly fallback: Value;
  readonly about: string;
  /** Set if messages must not repeat the value. */
  readonly secret?: true;
  /** Another name of the variable, read if `env` is not set. */
  readonly alias?: string;
  /** Explains a bad value more precisely than {@link expected}: "expected …, got …". Null if it cannot. */
  readonly explain?: (value: unknown) => string | null;
  /** Says how a value was adjusted; null if it was not. */
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

/** Seconds in the environment, as in open-webui; milliseconds in {@link Settings}. */
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

/** Milliseconds, fractions allowed. */
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

/** Allows 0 as well. */
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

/** A whole number: 0 means the default, and larger numbers are reduced to `max`. */
export function cappedInteger(env: string, fallback: number, max: number, what: string, about: string): Setting<number> {
  const { schema, ...setting } = integer(env, fallback, 0, 2 ** 31 - 1, about);
  return {
    ...setting,
    schema: schema.transform((value) => (value === 0 ? fallback : Math.min(value, max))),
    notice: (value) => (Number(value) > max ? `${env}: ${Number(value)} exceeds the limit; using ${max} ${what}` : null),
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

/** Null if not set. */
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
