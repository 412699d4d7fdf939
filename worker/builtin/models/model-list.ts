import { formatMs } from '../../../shared/time.js';
import { bytesOf, refusalOf, request } from '../openai/exchange.js';
import { type OpenAiUpstream, openLine } from '../openai/upstream.js';

/** A model as its server lists it: any fields, usually with `id` and `name`. */
export type ListedModel = Readonly<Record<string, unknown>>;

interface ListModelsOptions {
  /** Time limit for the server's whole answer. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Longest list, in bytes: ten times the size of five thousand OpenAI models. */
export const MAX_LIST_BYTES = 16 * 1_048_576;
/** Deepest nesting of a list. */
const MAX_DEPTH = 100;

/**
 * Requests a server's models: `GET <base URL>/models`. The answer is `{ "data": [model, …] }`, or the bare array. Protocol:
 * https://platform.openai.com/docs/api-reference/models/list
 *
 * @throws the signal's reason once it is aborted; else an Error with the server and the problem
 */
export async function listModels(upstream: OpenAiUpstream, { timeoutMs, signal }: ListModelsOptions): Promise<readonly ListedModel[]> {
  const late = `${upstream.label} did not list its models within ${formatMs(timeoutMs)}`;
  const line = openLine({ signal, timeoutMs, late });
  try {
    const response = await request(upstream, 'models', { signal: line.signal });
    if (!response.ok) throw await refusalOf(response, upstream);
    return parseList(await textOf(response, upstream), upstream);
  } catch (error) {
    // After an abort, fetch may throw any error.
    line.signal.throwIfAborted();
    throw error;
  } finally {
    line.close();
  }
}

async function textOf(response: Response, upstream: OpenAiUpstream): Promise<string> {
  const decoder = new TextDecoder();
  let length = 0;
  let text = '';
  for await (const bytes of bytesOf(response, upstream)) {
    length += bytes.length;
    if (length > MAX_LIST_BYTES) throw new Error(`${upstream.label} sent a list of more than ${MAX_LIST_BYTES / 1_048_576} MiB`);
    text += decoder.decode(bytes, { stream: true });
  }
  return text + decoder.decode();
}

function parseList(text: string, upstream: OpenAiUpstream): readonly ListedModel[] {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw new Error(`${upstream.label} sent a list that is not JSON: ${upstream.excerpt(text)}`);
  }
  const list = isObject(body) ? body['data'] : body;
  // One invalid model does not invalidate the others.
  const models = Array.isArray(list) ? list.filter(isObject) : [];
  if (!Array.isArray(list) || models.length < Math.min(1, list.length)) {
    throw new Error(`${upstream.label} sent an answer that is not a list of models: ${upstream.excerpt(text)}`);
  }
  if (isDeeper(models, MAX_DEPTH)) throw new Error(`${upstream.label} sent a list that is nested deeper than ${MAX_DEPTH} levels`);
  return models;
}

/**
 * Returns whether a value nests objects or lists deeper than `levels`. JSON parses at any depth, but serializes only as deep as the stack
 * allows.
 */
export function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((part) => isDeeper(part, levels - 1));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
