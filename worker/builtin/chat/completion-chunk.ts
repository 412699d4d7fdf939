/** A piece of a tool call: the first has its name, later ones continue its arguments. */
export interface ToolCallPiece {
  /** The number of the call; null if the server does not number calls. */
  readonly index: number | null;
  readonly id: string | null;
  readonly name: string | null;
  /** Part of the arguments' JSON text. */
  readonly arguments: string;
}

/** Output of a model; empty where it has none. */
export interface Saying {
  readonly text: string;
  readonly reasoning: string;
  readonly toolCalls: readonly ToolCallPiece[];
}

/** The first choice of one chunk of a completion. */
export interface CompletionChunk {
  /** The new part. */
  readonly delta: Saying;
  /** `choices[0].message`: the whole answer so far. */
  readonly message: Saying;
  /** Null until the completion ends; `''` and `'null'`, which some servers send meanwhile, count as null. */
  readonly finishReason: string | null;
  readonly model: string | null;
  readonly usage: Readonly<Record<string, unknown>> | null;
}

type Fields = Readonly<Record<string, unknown>>;

/** Most characters kept from a server's model name or finish reason. */
const MAX_NAME = 200;
/** The numbers that servers give to the first choice. */
const FIRST: ReadonlySet<unknown> = new Set([0, '0', null, undefined]);
const SILENCE: Saying = { text: '', reasoning: '', toolCalls: [] };

/**
 * Reads a chunk of a streamed completion, or a whole completion. Fields of an unexpected type are ignored; only a value that is not an
 * object, or whose `choices` is not a list, is not a chunk: null. Protocol: https://platform.openai.com/docs/api-reference/chat-streaming
 */
export function readChunk(json: unknown): CompletionChunk | null {
  if (!isFields(json)) return null;
  const choices = json['choices'] ?? [];
  if (!Array.isArray(choices)) return null;
  const { model, usage } = json;
  // The request asks for one choice; of several, only the first is used.
  const choice: Fields = choices.find((each: unknown): each is Fields => isFields(each) && FIRST.has(each['index'])) ?? {};
  const delta = sayingOf(choice['delta']);
  return {
    // The older protocol has no messages, but text in the choice itself.
    delta: delta === SILENCE && typeof choice['text'] === 'string' ? { ...SILENCE, text: choice['text'] } : delta,
    message: sayingOf(choice['message']),
    finishReason: reasonOf(choice['finish_reason']),
    model: typeof model === 'string' || typeof model === 'number' ? String(model).slice(0, MAX_NAME) || null : null,
    usage: isFields(usage) ? usage : null,
  };
}

/** Returns whether there are choices: a whole answer without any is not a completion. */
export function hasChoices(json: unknown): boolean {
  return isFields(json) && Array.isArray(json['choices']) && json['choices'].some(isFields);
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function reasonOf(value: unknown): string | null {
  if (typeof value !== 'string') return null;
  const reason = value.trim();
  return reason === '' || reason === 'null' ? null : reason.slice(0, MAX_NAME);
}

function sayingOf(said: unknown): Saying {
  if (!isFields(said)) return SILENCE;
  const { text, reasoning } = partsOf(said['content']);
  // Some servers send the same text under both names.
  const named = [said['reasoning_content'], said['reasoning']].map((value) => partsOf(value).text).find((words) => words !== '') ?? '';
  return { text, reasoning: named + reasoning, toolCalls: toolCallsOf(said) };
}

/** Joins the text parts of a content, which is a string or a list of parts; those of a model's thinking are its reasoning. */
function partsOf(content: unknown): Pick<Saying, 'text' | 'reasoning'> {
  if (typeof content === 'string') return { text: content, reasoning: '' };
  let [text, reasoning] = ['', ''];
  for (const part of Array.isArray(content) ? (content as unknown[]) : [content]) {
    if (typeof part === 'string') text += part;
    else if (isFields(part) && part['type'] === 'thinking') reasoning += thoughtOf(part['thinking']);
    else if (isFields(part) && typeof part['text'] === 'string') text += part['text'];
  }
  return { text, reasoning };
}

function thoughtOf(thinking: unknown): string {
  const parts: unknown[] = Array.isArray(thinking) ? thinking : [thinking];
  return parts
    .map((part) => (typeof part === 'string' ? part : isFields(part) && typeof part['text'] === 'string' ? part['text'] : ''))
    .join('');
}

function toolCallsOf(said: Fields): ToolCallPiece[] {
  const calls: readonly unknown[] = Array.isArray(said['tool_calls']) ? said['tool_calls'] : [];
  // The older protocol has one call, without a number.
  const older = isFields(said['function_call']) ? [{ index: 0, function: said['function_call'] }] : [];
  return [...calls, ...older].filter(isFields).map((call) => {
    const { name = null, arguments: given = '' } = isFields(call['function']) ? call['function'] : {};
    return {
      index: Number.isInteger(call['index']) ? (call['index'] as number) : null,
      id: textOrNull(call['id']),
      name: textOrNull(name),
      arguments: typeof given === 'string' ? given : given === null ? '' : asJson(given),
    };
  });
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

function asJson(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    return ''; // nested deeper than the stack
  }
}
