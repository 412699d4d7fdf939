import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type ChatCompletionInput, chatCompletion, documentIndex, fleetCanary } from '../../shared/task/builtin/index.js';
import type { AnyDefinition } from '../../shared/task/definition.js';

/** One task of the demo. */
export interface BatchTask {
  readonly id: string;
  readonly item: string;
  readonly definition: AnyDefinition;
  readonly input: unknown;
  /** Before it may start, in ms. Default 0. */
  readonly delay?: number;
  /** How it has to end. */
  readonly expected: 'completed' | 'cancelled';
}

/** The chat that is stopped after some words. */
export const STOPPED_CHAT = 'chat-novel';
/** The item of which every task is stopped. */
export const STOPPED_ITEM = 'report';
/** Of that item, the one that burns its CPU. */
export const SPINNING = 'report-spin';
/**
 * Tasks that each worker runs at once, for each queue. The canaries take all slots of two workers, so that the last two
 * of `report` still wait when the item is stopped.
 */
export const CONCURRENCY = 3;

const ENDLESS_TOKENS = 50_000;
/** Longer than the client waits. */
const ENDLESS_MS = 60_000;
const HOUR_MS = 3_600_000;
/** Longer than the whole show takes until the item is stopped, so that the slots stay taken. */
const CANARY_MS = 6_000;
/** Of our dependencies, those with something to read. */
const PACKAGES = ['bullmq', 'express', 'ioredis', 'pino', 'typescript', 'zod'] as const;
const DOCUMENTS = ['.md', '.txt'];
const SOURCES = [...DOCUMENTS, '.ts'];

/** All tasks of the demo, in the order in which they are enqueued. `documentRoot` is the root of this repository. */
export function makeBatch(documentRoot: string): readonly BatchTask[] {
  return [...chats(), ...canaries(), ...report(), ...documents(documentRoot)];
}

function chats(): BatchTask[] {
  return [
    { ...chat('chat-tides', 'Why does the sea come and go twice a day?', 120), expected: 'completed' },
    { ...chat('chat-lighthouse', 'How does a lighthouse keeper spend the night?', 200), expected: 'completed' },
    { ...chat(STOPPED_CHAT, 'Write a novel about a river that changes its mind.', ENDLESS_TOKENS), expected: 'cancelled' },
  ];
}

function canaries(): BatchTask[] {
  return (['cooperative', 'deaf', 'spin'] as const).map((mode) => ({
    ...{ id: `canary-${mode}`, item: 'canary', definition: fleetCanary, expected: 'completed' as const },
    input: { run_ms: CANARY_MS, mode },
  }));
}

/** Every way in which a stop can find a task: it heeds its signal, is deaf to it, burns its CPU, waits, or is due in an hour. */
function report(): BatchTask[] {
  const canary = (name: string, mode: string, delay = 0): BatchTask => ({
    ...{ id: `report-${name}`, item: STOPPED_ITEM, definition: fleetCanary, expected: 'cancelled' as const, delay },
    input: { run_ms: ENDLESS_MS, mode },
  });
  return [
    {
      ...chat('report-chat', 'Summarise the harbour log of the last hundred years.', ENDLESS_TOKENS),
      item: STOPPED_ITEM,
      expected: 'cancelled',
    },
    canary('cooperative', 'cooperative'),
    canary('deaf', 'deaf'),
    canary('spin', 'spin'),
    canary('queued-1', 'cooperative'),
    canary('queued-2', 'cooperative'),
    canary('delayed', 'cooperative', HOUR_MS),
  ];
}

/** This repository's own documents, and those of the packages that are installed in it. */
function documents(root: string): BatchTask[] {
  const index = (name: string, item: string, path: string, extensions: readonly string[]): BatchTask => ({
    ...{ id: `index-${name}`, item, definition: documentIndex, expected: 'completed' as const },
    input: { path, extensions, top_terms: 5 },
  });
  const own = [
    index('everything', 'docs', '.', DOCUMENTS),
    index('docs', 'docs', 'docs', DOCUMENTS),
    index('contracts', 'docs', 'shared', SOURCES),
  ];
  const packages = PACKAGES.map((name) => index(name, 'library', `node_modules/${name}`, SOURCES));
  const library = [...packages, index('node-modules', 'library', 'node_modules', SOURCES)];
  return [...own, ...library].filter(({ input }) => existsSync(join(root, (input as { path: string }).path)));
}

function chat(id: string, content: string, maxTokens: number): Omit<BatchTask, 'expected'> {
  const input: Partial<ChatCompletionInput> = { model: 'demo-large', messages: [{ role: 'user', content }], max_tokens: maxTokens };
  return { id, item: id.replace('-', ':'), definition: chatCompletion, input };
}
