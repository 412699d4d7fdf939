/** A piece of a call of a tool: the first names it, the following ones have more of its arguments. */
export interface ToolCallPiece {
  /** Which of the calls; null if the server does not number them. */
  readonly index: number | null;
  readonly id: string | null;
  readonly name: string | null;
  /** A part of the arguments' JSON, as text. */
  readonly arguments: string;
}

/** What a model said; empty where it said nothing. */
export interface Saying {
  readonly text: string;
  readonly reasoning: string;
  readonly toolCalls: readonly ToolCallPiece[];
}

/** One chunk of a completion, of its first choice. */
export interface CompletionChunk {
  /** What is new. */
  readonly delta: Saying;
  /** `choices[0].message`: the answer as a whole, as far as it has come. */
  readonly message: Saying;
  /** Null while the completion goes on; `''` and `'null'`, which some servers send meanwhile, count as null. */
  readonly finishReason: string | null;
  readonly model: string | null;
  readonly usage: Readonly<Record<string, unknown>> | null;
}

type Fields = Readonly<Record<string, unknown>>;

/** Characters that are kept of what a server calls its model or its reason. */
const MAX_NAME = 200;
/** What a server may call the first choice. */
const FIRST: ReadonlySet<unknown> = new Set([0, '0', null, undefined]);
const SILENCE: Saying = { text: '', reasoning: '', toolCalls: [] };

/**
 * Reads a chunk of a streamed completion, or a completion that came as a whole. Fields of another type than the protocol's are
 * left out, not refused; only what is no object, or has `choices` that are no list, is no chunk: null.
 * Protocol: https://platform.openai.com/docs/api-reference/chat-streaming
 */
export function readChunk(json: unknown): CompletionChunk | null {
  if (!isFields(json)) return null;
  const choices = json['choices'] ?? [];
  if (!Array.isArray(choices)) return null;
  const { model, usage } = json;
  // One choice is asked for. Of several, only the first is the answer.
  const choice: Fields = choices.find((each: unknown): each is Fields => isFields(each) && FIRST.has(each['index'])) ?? {};
  const delta = sayingOf(choice['delta']);
  return {
    // Servers of the older protocol, without messages, have the text in the choice itself.
    delta: delta === SILENCE && typeof choice['text'] === 'string' ? { ...SILENCE, text: choice['text'] } : delta,
    message: sayingOf(choice['message']),
    finishReason: reasonOf(choice['finish_reason']),
    model: typeof model === 'string' || typeof model === 'number' ? String(model).slice(0, MAX_NAME) || null : null,
    usage: isFields(usage) ? usage : null,
  };
}

/** Whether there are choices in it: without any, an answer that came as a whole is no completion. */
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
  // Some servers send both names, with the same words.
  const named = [said['reasoning_content'], said['reasoning']].map((value) => partsOf(value).text).find((words) => words !== '') ?? '';
  return { text, reasoning: named + reasoning, toolCalls: toolCallsOf(said) };
}

/** A content is a string, or a list of parts; those with text are joined, those of a model's thinking are its reasoning. */
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
