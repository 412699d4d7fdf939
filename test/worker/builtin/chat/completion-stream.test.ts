import assert from 'node:assert/strict';
import type { RequestListener } from 'node:http';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { StopRequested } from '../../../../shared/stop/cause.js';
import { deferred } from '../../../support/deferred.js';
import { KEY, ask, assertFails } from '../../../support/network/ask-upstream.js';
import { DONE, FINISH, delta, event, streaming, upstream } from '../../../support/network/upstream.js';

const choice = (fields: object) => event({ choices: [{ index: 0, ...fields }] });
const finish = (reason: unknown) => choice({ delta: {}, finish_reason: reason });
const whole =
  (body: string | Uint8Array, headers: Record<string, string> = {}, status = 200): RequestListener =>
  (_, response) =>
    void response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body);
/** An emitted reasoning chunk. */
const thought = (text: string) => ({ type: 'reasoning', text });

const incomplete = /ended the stream before the completion was complete$/;
const undone = /sent \[DONE\] before the completion was complete$/;

/** The stream after `delta('a')`, the task's error, and whether the task may be retried. */
const broken: [string, string, RegExp, retried?: boolean][] = [
  ['the stream ends', '', incomplete],
  ['the stream ends, and the finish_reason was ""', finish(''), incomplete],
  ['the stream ends, and the finish_reason was "null"', finish('null'), incomplete],
  ['the stream ends, and the finish_reason was no text', finish({}) + finish(0) + finish(false), incomplete],
  ['the stream ends in the middle of a chunk', 'data: {"choices":[{"delta":{"content":"b', incomplete],
  ['the finish_reason is of another choice', event({ choices: [{ index: 1, delta: {}, finish_reason: 'stop' }] }), incomplete],
  ['[DONE] comes', DONE, undone],
  ['[DONE] comes after the finish_reason ""', finish('') + DONE, undone],
  ['the server gives up', finish('error') + DONE, /gave up halfway through the completion: finish_reason "error"$/],
  ['a chunk is not JSON', `data: {"choices": [${KEY}\n\n${DONE}`, /sent a chunk that is not JSON: \{"choices": \[\*\*\*$/],
  ['a chunk is not a chunk', `data: [1]\n\n${DONE}`, /sent an event that is not a chunk: \[1\]$/],
  ['an error comes', event({ error: { message: `overloaded ${KEY}`, code: 529 } }), /reported an error in the stream: overloaded \*\*\*$/],
  ['an error comes after the finish_reason', FINISH + event({ error: 'late' }) + DONE, /in the stream: late$/],
  ['an error comes beside choices', event({ choices: [{ index: 0, delta: {} }], error: { message: 'mixed' } }), /in the stream: mixed$/],
  ['an error comes in the choice', choice({ delta: {}, error: { message: 'inner', code: 502 } }), /in the stream: inner$/],
  ['an error comes as {"object":"error"}', event({ object: 'error', message: 'engine died', code: 500 }), /in the stream: engine died$/],
  ['an error comes as {"error_code"}', event({ text: 'out of memory', error_code: 50002 }), /in the stream: out of memory$/],
  ['an error comes as {"detail"}', event({ detail: 'worker gone' }), /in the stream: worker gone$/],
  [
    'an error comes as {"detail"} in parts',
    event({ detail: [{ loc: ['body'], msg: 'bad' }] }),
    /in the stream: \[\{"loc":\["body"\],"msg":"bad"\}\]$/,
  ],
  ['an error comes as {"message"}', event({ code: 'busy', message: 'try later' }), /in the stream: try later$/],
  ['an error without words comes', event({ error: true }), /in the stream: \{"error":true\}$/],
  ['an event "error" comes', `event: error\n${event({ error: 'busy' })}`, /in the stream: busy$/],
  ['an event "error" comes with a message', `event: error\n${event({ message: 'no slot' })}`, /in the stream: no slot$/],
  ['an event "error" comes with plain words', 'event: error\ndata: no capacity left\n\n', /in the stream: no capacity left$/],
  ['an event "error" is the last, without a blank line', 'event: error\ndata: no capacity left', /in the stream: no capacity left$/],
  ['an event "error" comes without words', 'event: error\ndata:\n\n', /reported an error in the stream$/],
  ['an error with status 429 comes', event({ error: { message: 'slow down', code: 429 } }), /slow down$/],
  ['an error with status 400 comes', event({ object: 'error', message: 'too long', code: 400 }), /too long$/, false],
  ['an error with status "404" comes', event({ error: { message: 'no model', code: '404' } }), /no model$/, false],
  ['an error of FastChat for the length of the prompt comes', event({ text: 'too long', error_code: 40303 }), /too long$/, false],
  ['invalid_request_error comes', event({ error: { message: 'bad', type: 'invalid_request_error' } }), /bad$/, false],
  ['insufficient_quota comes', event({ error: { message: 'no credit', code: 'insufficient_quota', status: 429 } }), /no credit$/, false],
  ['an event has no end', `data: ${'x'.repeat(5 * 1_048_576)}`, /sent an event of more than 4194304 characters$/, false],
];

const parts = [{ type: 'text', text: 'b' }, { type: 'image_url', image_url: {} }, null, 'c'];

/** A whole stream, and its text. */
const accepted: [string, string, string][] = [
  ['without [DONE]', delta('a') + FINISH, 'a'],
  ['without a last blank line', (delta('a') + FINISH).trimEnd(), 'a'],
  ['without a blank line after [DONE]', delta('a') + FINISH + DONE.trimEnd(), 'a'],
  ['with a usage that is cut off after the end', `${delta('a')}${FINISH}data: {"usage":{"tot`, 'a'],
  ['with other finish reasons', delta('a') + finish('content_filter') + DONE, 'a'],
  ['without blank lines', (delta('a') + delta('b') + FINISH + DONE).replaceAll('\n\n', '\n'), 'ab'],
  [
    'with text in choices[0].message',
    choice({ message: { content: 'a' } }) + choice({ message: { content: 'b' }, finish_reason: 'stop' }),
    'ab',
  ],
  [
    'with a message that repeats the deltas',
    delta('a') + delta('b') + choice({ delta: {}, message: { content: 'abc' }, finish_reason: 'stop' }),
    'abc',
  ],
  ['with text in choices[0].text', choice({ text: 'a' }) + FINISH, 'a'],
  ['with a content of parts', delta('a') + choice({ delta: { content: parts } }) + FINISH, 'abc'],
  ['with a content that is one part', choice({ delta: { content: parts[0] } }) + FINISH, 'b'],
  ['with a usage that is a list', event({ choices: [{ delta: { content: 'a' } }], usage: [] }) + FINISH, 'a'],
  [
    'with an empty error',
    ['null', 'false', '{}', '""', '[]', '{"message":null}'].map((error) => `data: {"error":${error},"choices":[]}\n\n`).join('') +
      delta('a') +
      FINISH,
    'a',
  ],
  ['with an error_code that is none', event({ error_code: 0, choices: [{ delta: { content: 'a' } }] }) + FINISH, 'a'],
  [
    'with keepalives',
    `data: : keepalive\n\ndata:\n\n: ping\n\nevent: ping\ndata: {"type":"ping"}\n\nevent: ping\ndata: -\n\n${delta('a')}${FINISH}`,
    'a',
  ],
  ['with events of others', `${event({ sources: [] })}id: 7\nretry: 5\nnonsense\n${delta('a')}${event({ timings: {} })}${FINISH}`, 'a'],
  ['with a byte order mark', `\uFEFF${delta('a')}${FINISH}`, 'a'],
  ['with blank lines first', `\r\n\n  \n${delta('a')}${FINISH}`, 'a'],
  ['with CR alone at the end of lines', (delta('a') + FINISH + DONE).replaceAll('\n', '\r'), 'a'],
  [
    'with other choices',
    delta('a') +
      event({
        choices: [
          { index: 1, delta: { content: 'x' } },
          { index: 0, delta: { content: 'b' } },
        ],
      }) +
      FINISH,
    'ab',
  ],
  ['with choices that are none', event({ choices: [null, 5] }) + event({ choices: null }) + delta('a') + FINISH, 'a'],
  [
    'with fields of other types',
    event({ model: {}, choices: [{ delta: 5, message: [] }] }) + choice({ delta: { content: 7 } }) + delta('a') + FINISH,
    'a',
  ],
];

describe('The stream of a completion', () => {
  for (const [what, text, message, retried = true] of broken) {
    it(`fails ${retried ? 'with a retry' : 'for good'} when ${what}`, async (t) => {
      const { fake, output } = ask([await upstream(t, streaming(delta('a') + text))], { keys: [KEY] });
      await assertFails(output, retried, message);
      assert.equal(fake.emitted[0], 'a');
    });
  }

  for (const [what, text, content] of accepted) {
    it(`is understood ${what}`, async (t) => {
      const { fake, output } = ask([await upstream(t, streaming(text))]);
      assert.equal((await output).content, content);
      assert.equal(fake.emitted.join(''), content);
    });
  }

  it('fails if it is empty or has only [DONE]', async (t) => {
    await assertFails(ask([await upstream(t, streaming(DONE))]).output, true, undone);
    await assertFails(ask([await upstream(t, streaming(': ping\n\n'))]).output, true, /answered 200 with nothing$/);
    await assertFails(ask([await upstream(t, whole('', {}, 204))]).output, true, /answered 204 with nothing$/);
  });

  it('fails with a retry when the connection breaks before the end, and is complete when it breaks after', async (t) => {
    const { fake, output } = ask([await upstream(t, streaming(delta('a'), { cut: true }))]);
    await assertFails(output, true, /^The stream from .* broke off: /);
    assert.deepEqual(fake.emitted, ['a']);
    const { content, finish_reason } = await ask([await upstream(t, streaming(delta('a') + FINISH, { cut: true }))]).output;
    assert.deepEqual([content, finish_reason], ['a', 'stop']);
  });

  it('has the model, usage and finish_reason of the server', async (t) => {
    const usage = event({ choices: [], model: 7, usage: { total_tokens: 2 } });
    const output = await ask([await upstream(t, streaming(`${delta('a')}${finish('length')}${usage}`))]).output;
    const nothing = { reasoning_content: null, tool_calls: null };
    assert.deepEqual(output, { content: 'a', ...nothing, model: '7', finish_reason: 'length', chunks: 1, usage: { total_tokens: 2 } });
  });

  it('separates reasoning, under each of its names, from the text', async (t) => {
    const thinking = { content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'Well' }] }] };
    const deltas = [
      { reasoning_content: 'Hm' },
      { reasoning: ', ' },
      { reasoning: 'so', reasoning_content: 'so' },
      thinking,
      { content: 'Yes' },
    ];
    const { fake, output } = ask([await upstream(t, streaming(deltas.map((each) => choice({ delta: each })).join('') + FINISH))]);
    const { content, reasoning_content, chunks } = await output;
    assert.deepEqual([content, reasoning_content, chunks], ['Yes', 'Hm, soWell', 1]);
    assert.deepEqual(fake.emitted, [thought('Hm'), thought(', '), thought('so'), thought('Well'), 'Yes']);
  });

  it('collects tool calls, and joins their arguments', async (t) => {
    const call = (fields: object) => choice({ delta: { tool_calls: [fields] } });
    const text =
      call({ index: 0, id: 'x', function: { name: 'weather', arguments: '' } }) +
      call({ index: 1, id: 'y', function: { name: 'time', arguments: '{}' } }) +
      call({ index: 0, function: { arguments: '{"city":' } }) +
      call({ index: 0, function: { arguments: '"Bern"}' } }) +
      finish('tool_calls');
    const { fake, output } = ask([await upstream(t, streaming(text))]);
    const { content, tool_calls, finish_reason } = await output;
    assert.deepEqual([content, finish_reason], ['', 'tool_calls']);
    assert.deepEqual(tool_calls, [
      { id: 'x', type: 'function', function: { name: 'weather', arguments: '{"city":"Bern"}' } },
      { id: 'y', type: 'function', function: { name: 'time', arguments: '{}' } },
    ]);
    assert.deepEqual(fake.emitted.slice(1, 3), [
      { type: 'tool_call', index: 1, id: 'y', name: 'time', arguments: '{}' },
      { type: 'tool_call', index: 0, id: null, name: null, arguments: '{"city":' },
    ]);
  });

  it('distinguishes calls without distinct indexes, and reads JSON arguments and the older function_call', async (t) => {
    const calls = [
      { index: 0, id: 'x', function: { name: 'a', arguments: { n: 1 } } },
      { index: 0, id: 'y', function: { name: 'b' } },
      { id: 'z', function: { name: 'c' } },
    ];
    const { tool_calls } = await ask([await upstream(t, streaming(choice({ delta: { tool_calls: calls } }) + finish('tool_calls')))])
      .output;
    assert.deepEqual(
      tool_calls?.map(({ id, function: { name, arguments: given } }) => [id, name, given]),
      [
        ['x', 'a', '{"n":1}'],
        ['y', 'b', ''],
        ['z', 'c', ''],
      ],
    );
    const older =
      choice({ delta: { function_call: { name: 'f', arguments: '{' } } }) +
      choice({ delta: { function_call: { arguments: '}' } } }) +
      finish('function_call');
    const { tool_calls: one } = await ask([await upstream(t, streaming(older))]).output;
    assert.deepEqual(one, [{ id: null, type: 'function', function: { name: 'f', arguments: '{}' } }]);
  });

  it('does not wait for a server that keeps the connection open after [DONE]', async (t) => {
    const closed = deferred();
    const url = await upstream(t, (_, response) => {
      response.writeHead(200).write(`${delta('a')}${FINISH}${DONE}${delta('b')}`);
      response.once('close', () => closed.resolve());
    });
    assert.equal((await ask([url]).output).content, 'a');
    await closed.promise;
  });

  it('is complete if the server goes silent after the finish_reason', async (t) => {
    const url = await upstream(t, (_, response) => void response.writeHead(200).write(`${delta('a')}${FINISH}`));
    const { content, finish_reason } = await ask([url], { idleTimeoutMs: 2_000 }).output;
    assert.deepEqual([content, finish_reason], ['a', 'stop']);
  });

  it('throws the reason of an abort after the finish_reason', async (t) => {
    const reason = new StopRequested();
    const url = await upstream(t, (_, response) => void response.writeHead(200).write(`${FINISH}${delta('a')}`));
    const { fake, output } = ask([url], { onEmit: () => fake.abort(reason) });
    await assert.rejects(output, (error) => error === reason);
  });

  it('understands CRLF, comments, gzip and a character split between two reads', async (t) => {
    const text = Buffer.from(`: ping\r\n\r\ndata:\r\n\r\n${delta('für ')}${delta('Zürich')}${FINISH}${DONE}`.replaceAll(/\r?\n/g, '\r\n'));
    const half = text.lastIndexOf('ü') + 1;
    const first = deferred();
    const url = await upstream(t, (_, response) => {
      response.writeHead(200, { 'content-type': 'text/plain' }).write(text.subarray(0, half));
      // The rest follows once the first part has been read.
      void first.promise.then(() => response.end(text.subarray(half)));
    });
    const { fake, output } = ask([url], { onEmit: () => first.resolve() });
    assert.equal((await output).content, 'für Zürich');
    assert.deepEqual(fake.emitted, ['für ', 'Zürich']);
    const zipped = await upstream(t, whole(gzipSync(text), { 'content-encoding': 'gzip', 'content-type': 'text/event-stream' }));
    assert.equal((await ask([zipped]).output).content, 'für Zürich');
    const invalid = Buffer.from(delta('a?b') + FINISH).map((byte) => (byte === 0x3f ? 0xff : byte));
    assert.equal((await ask([await upstream(t, streaming(invalid))]).output).content, 'a\uFFFDb');
  });

  it('understands a stream sent byte by byte', async (t) => {
    const text = Buffer.from(`${delta('naïve ')}${delta('東京')}${FINISH}${DONE}`.replaceAll('\n', '\r\n'));
    const url = await upstream(t, (_, response) => {
      response.socket?.setNoDelay(true);
      const next = (at: number): void => {
        if (at === text.length) response.end();
        else response.write(text.subarray(at, at + 1), () => setImmediate(next, at + 1));
      };
      next(0);
    });
    assert.equal((await ask([url]).output).content, 'naïve 東京');
  });
});

describe('An answer that is not a stream', () => {
  const message = {
    role: 'assistant',
    content: 'a',
    reasoning_content: 'Hm',
    tool_calls: [{ id: 'x', type: 'function', function: { name: 'f', arguments: '{}' } }],
  };
  const answer = { model: 'm', choices: [{ index: 0, message, finish_reason: 'stop' }], usage: { total_tokens: 2 } };

  it('is accepted if it is a completion, with any content type', async (t) => {
    for (const [body, type] of [
      [JSON.stringify(answer, null, 2), 'application/json'],
      [`\uFEFF ${JSON.stringify([answer])}`, 'text/event-stream'],
    ] as const) {
      const { fake, output } = ask([await upstream(t, whole(body, { 'content-type': type }))]);
      const { tool_calls, ...rest } = await output;
      assert.deepEqual(rest, {
        content: 'a',
        reasoning_content: 'Hm',
        model: 'm',
        finish_reason: 'stop',
        chunks: 1,
        usage: { total_tokens: 2 },
      });
      assert.deepEqual(tool_calls, message.tool_calls);
      assert.deepEqual(fake.emitted, [thought('Hm'), 'a', { type: 'tool_call', index: 0, id: 'x', name: 'f', arguments: '{}' }]);
    }
    const bare = await ask([await upstream(t, whole('{"choices":[{"message":{"content":"a"}}],"error":null}'))]).output;
    assert.deepEqual([bare.content, bare.finish_reason], ['a', null]);
  });

  it('fails with its error message, or with its beginning', async (t) => {
    const head = '<head><title>Sign in</title><style>p { x }</style></head>';
    const page = `<!DOCTYPE html><html>${head}\n<body><p>to <b>Acme</b></p><script>let ${KEY}</script></body></html>`;
    const cases: [string, RegExp, retried?: boolean][] = [
      ['{"error":{"message":"model is loading"}}', /answered 200 with an error: model is loading$/],
      ['[{"error":{"message":"bad key","code":401,"status":"UNAUTHENTICATED"}}]', /answered 200 with an error: bad key$/, false],
      ['{"detail":"no such model"}', /answered 200 with an error: no such model$/],
      [page, /answered 200 with an answer that is not a completion: Sign in to Acme$/],
      ['upstream connect error', /not a completion: upstream connect error$/],
      ['{"choices":[]}', /not a completion: \{"choices":\[\]\}$/],
      ['{"choices":[{"message":', /not a completion: \{"choices":\[\{"message":$/],
      ['[]', /not a completion: \[\]$/],
    ];
    for (const [body, words, retried = true] of cases)
      await assertFails(ask([await upstream(t, whole(body))], { keys: [KEY] }).output, retried, words);
  });

  it('fails for good if it is too long', async (t) => {
    const piece = Buffer.alloc(1_048_576, '[');
    const url = await upstream(t, (_, response) => {
      const send = (): void => void (response.destroyed || response.write(piece, send));
      send();
    });
    await assertFails(ask([url]).output, false, /sent an answer of more than 16777216 characters$/);
  });
});
