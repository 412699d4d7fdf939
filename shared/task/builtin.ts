import { z } from 'zod';
import { type AnyDefinition, defineTask } from './definition.js';

const chatCompletionInput = z.strictObject({
  model: z.string().min(1).max(200),
  messages: z
    .array(z.strictObject({ role: z.enum(['system', 'user', 'assistant', 'tool', 'developer']), content: z.string() }))
    .min(1)
    .max(1_000),
  base_url_index: z.int().min(0).default(0),
  temperature: z.number().min(0).max(2).optional(),
  max_tokens: z.int().min(1).optional(),
  top_p: z.number().min(0).max(1).optional(),
  stop: z.union([z.string().min(1), z.array(z.string().min(1)).min(1).max(4)]).optional(),
});

const chatCompletionOutput = z.strictObject({
  content: z.string(),
  model: z.string(),
  finish_reason: z.string().nullable(),
  chunks: z.int().min(0),
  usage: z.record(z.string(), z.unknown()).nullable(),
});

/** What the handler of {@link chatCompletion} gets. */
export type ChatCompletionInput = z.output<typeof chatCompletionInput>;
export type ChatCompletionOutput = z.output<typeof chatCompletionOutput>;

/**
 * Streams a completion from the OpenAI-compatible server that `base_url_index` (default 0, the first) picks from
 * OPENAI_API_BASE_URLS. Where requests go and with which key is never up to the input: other fields are refused.
 *
 * Each piece of text is emitted as a plain string. The output has the whole text, `model` as the server named it,
 * `chunks` = how many pieces there were, and `usage` as the server counted it, null if it did not.
 *
 * Three attempts. A retry starts the completion again: what a failed attempt emitted stays in the task's events, before
 * those of the next attempt; the output is of the last attempt alone.
 */
export const chatCompletion = defineTask({
  name: 'chat.completion',
  queue: 'chat',
  input: chatCompletionInput,
  output: chatCompletionOutput,
  retry: { attempts: 3, backoff: { type: 'exponential', delayMs: 1_000, jitter: 0.5 } },
});

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
    .default(['.md', '.txt']),
  top_terms: z.int().min(1).max(100).default(10),
  max_files: z.int().min(1).max(100_000).default(2_000),
  max_file_bytes: z.int().min(1).max(64 * 1_048_576).default(1_048_576),
});

const count = z.int().min(0);
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

/** What the handler of {@link documentIndex} gets. */
export type DocumentIndexInput = z.output<typeof documentIndexInput>;
export type DocumentIndexOutput = z.output<typeof documentIndexOutput>;

/**
 * Reads the text files below a folder and tells what each is about: its terms with the highest TF-IDF scores.
 *
 * Input: `path`, a folder relative to DOCUMENT_ROOT (default `.`, all of it); `extensions`, in any case (default `.md`
 * and `.txt`); `top_terms` a document (default 10, 1 to 100); `max_files` (default 2,000, 1 to 100,000);
 * `max_file_bytes` (default 1 MiB, at most 64 MiB).
 *
 * Output: `root`, the folder relative to DOCUMENT_ROOT; how many `documents`, distinct `terms` and `tokens` there are;
 * `skipped`, the symbolic links, unreadable folders and unreadable, binary or too long files that were left out;
 * `truncated`, whether there were more than `max_files`; and one of `results` for each document, by `path`, which is
 * relative to `root`. Paths have `/` as separator.
 */
export const documentIndex = defineTask({
  name: 'document.index',
  queue: 'documents',
  input: documentIndexInput,
  output: documentIndexOutput,
});

const canaryMode = z.enum(['cooperative', 'deaf', 'spin']);
const fleetCanaryInput = z.strictObject({
  run_ms: z.int().min(0).max(3_600_000).default(1_000),
  mode: canaryMode.default('cooperative'),
});

const fleetCanaryOutput = z.strictObject({ ran_ms: z.number().min(0), mode: canaryMode });

/** What the handler of {@link fleetCanary} gets. */
export type FleetCanaryInput = z.output<typeof fleetCanaryInput>;
export type FleetCanaryOutput = z.output<typeof fleetCanaryOutput>;

/**
 * Does nothing for `run_ms` (default 1,000), in one of three ways, to try what the fleet does with it: `cooperative`
 * (default) honours the signal, `deaf` waits without looking at it, `spin` burns a CPU in a thread of its own.
 * The output has the time that it really took in ms.
 */
export const fleetCanary = defineTask({
  name: 'fleet.canary',
  queue: 'fleet',
  input: fleetCanaryInput,
  output: fleetCanaryOutput,
  retry: { attempts: 5, backoff: { type: 'fixed', delayMs: 100, jitter: 0 } },
});

/** The queue of what the fleet does for itself. */
export const MAINTENANCE_QUEUE = 'maintenance';

const registryReconcileOutput = z.strictObject({
  entries: count,
  young: count,
  removed: count,
  jobs: count,
  registered: count,
  settled: count,
  inherited: count,
  early: count,
  complete: z.boolean(),
  took_ms: z.number().min(0),
});

export type RegistryReconcileOutput = z.output<typeof registryReconcileOutput>;

/**
 * Compares the registry with the queues and repairs what crashes left. Scheduled, RECONCILE_INTERVAL_MS apart; no input.
 *
 * Output, all of one run: `entries` of the registry looked at, of which `young` are without a job and may be on their
 * way, and `removed` were of jobs that had ended or are gone; `jobs` looked at, of which `registered` were missing or
 * listed wrongly; stops `settled` for owners that are dead; tasks stopped because their parent was (`inherited`), or
 * because somebody had stopped them before their job was there (`early`); `complete`, whether it got through everything:
 * a large fleet takes several runs, each going on where the one before left off.
 */
export const registryReconcile = defineTask({
  name: 'registry.reconcile',
  queue: MAINTENANCE_QUEUE,
  input: z.strictObject({}),
  output: registryReconcileOutput,
  timeoutMs: 60_000,
  // The last run is in `p:reconcile`; a list of ended tasks should be of what users enqueued.
  retention: { completed: { count: 0 }, failed: { count: 100 } },
});

/** The definitions of all built-in tasks. */
export const BUILTIN_DEFINITIONS: readonly AnyDefinition[] = Object.freeze([chatCompletion, documentIndex, fleetCanary, registryReconcile]);
