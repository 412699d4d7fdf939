import { z } from 'zod';
import { defineTask } from '../../../shared/task/definition.js';

const count = z.int().min(0);

const documentIndexInput = z.strictObject({
  path: z
    .string()
    .min(1)
    .max(4_096)
    .refine((path) => !path.includes('\0'), 'expected no NUL character')
    .default('.'),
  extensions: z
    .array(z.string().regex(/^\.[^/\\\0]{1,31}$/, 'expected an extension such as ".md"'))
    .min(1)
    .max(50)
    .optional(),
  top_terms: z.int().min(1).max(100).default(10),
  max_files: z.int().min(1).max(100_000).default(2_000),
  max_file_bytes: z
    .int()
    .min(1)
    .max(64 * 1_048_576)
    .default(1_048_576),
});

const documentIndexOutput = z.strictObject({
  root: z.string(),
  documents: count,
  terms: count,
  tokens: count,
  skipped: count,
  truncated: z.boolean(),
  results: z.array(
    z.strictObject({
      path: z.string(),
      tokens: count,
      top_terms: z.array(z.strictObject({ term: z.string(), score: z.number() })),
    }),
  ),
});

/** The parsed input of {@link documentIndex}. */
export type DocumentIndexInput = z.output<typeof documentIndexInput>;
export type DocumentIndexOutput = z.output<typeof documentIndexOutput>;

/**
 * Indexes the text files below a folder by their terms with the highest TF-IDF scores.
 *
 * Input: `path`, a folder relative to DOCUMENT_ROOT (default `.`); `extensions`, in any case, a subset of the workers'
 * DOCUMENT_EXTENSIONS (default: all of these); `top_terms` per document (default 10, 1 to 100); `max_files` (default 2,000, 1 to
 * 100,000); `max_file_bytes` (default 1 MiB, up to 64 MiB).
 *
 * Dotfiles are skipped. Without DOCUMENT_ROOT the task fails, and is not retried.
 *
 * Output: `root`, the folder relative to DOCUMENT_ROOT; the numbers of `documents`, distinct `terms` and `tokens`; `skipped`, the
 * number of symbolic links, unreadable folders, and unreadable, binary or too long files; `truncated`, whether `max_files` or the
 * limits of a run (512 Mi characters, a million entries) were reached; and `results`, one per document, with a `path` relative to
 * `root`. Paths have `/` as separator.
 */
export const documentIndex = defineTask({
  name: 'document.index',
  queue: 'documents',
  input: documentIndexInput,
  output: documentIndexOutput,
  retention: { completed: { count: 10_000 }, failed: { count: 10_000 } },
});
