import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERROR_CLASSES } from '../../client/error-classes.js';
import { TaskNotFoundError, TaskfleetClient, TaskfleetError, isTransient } from '../../client/index.js';
import type { ErrorCode } from '../../shared/errors.js';
import { STATUS_OF } from '../../shared/http-status.js';

/** Returns the error for an answer of the API. */
async function errorFor(status: number, body: unknown, headers: Record<string, string> = {}): Promise<TaskfleetError> {
  const client = new TaskfleetClient({
    baseUrl: 'http://fleet.test',
    fetch: () => Promise.resolve(new Response(typeof body === 'string' ? body : JSON.stringify(body), { status, headers })),
  });
  return client.list().then(
    () => assert.fail('no error'),
    (error: unknown) => {
      assert.ok(error instanceof TaskfleetError, String(error));
      return error;
    },
  );
}

test('has a class for each code that the API answers with', async () => {
  const statuses: Readonly<Partial<Record<ErrorCode | 'INTERNAL_ERROR', number>>> = { ...STATUS_OF, INTERNAL_ERROR: 500 };
  const seen = new Set<string>();
  for (const [code, status] of Object.entries(statuses)) {
    const error = await errorFor(status, { code, detail: 'what was wrong', status, request_id: 'r-1' });
    assert.deepEqual(
      [error.code, error.status, error.message, error.detail, error.requestId],
      [code, status, 'what was wrong', 'what was wrong', 'r-1'],
    );
    assert.equal(ERROR_CLASSES[error.name as keyof typeof ERROR_CLASSES], error.constructor, code);
    seen.add(error.name);
  }
  assert.deepEqual([...seen].toSorted(), Object.keys(ERROR_CLASSES).toSorted());
  assert.ok((await errorFor(404, { code: 'TASK_NOT_FOUND', detail: 'no task' })) instanceof TaskNotFoundError);
});

test('keeps the code of a newer API, and tells the answer of something else', async () => {
  const newer = await errorFor(409, { code: 'OF_A_NEWER_VERSION', detail: 'no' });
  assert.deepEqual([newer.constructor, newer.code, newer.name], [TaskfleetError, 'OF_A_NEWER_VERSION', 'OfANewerVersionError']);
  const proxy = await errorFor(502, '<h1>Bad Gateway', { 'Content-Type': 'text/html' });
  assert.deepEqual(
    [proxy.code, proxy.message],
    ['UNEXPECTED_RESPONSE', 'Expected a taskfleet API at http://fleet.test/api/v1, got 502, text/html.'],
  );
  assert.equal((await errorFor(200, '<p>hello', { 'Content-Type': 'text/html' })).code, 'UNEXPECTED_RESPONSE');
});

test('reads Retry-After in seconds and as a date, and knows which answers a repetition may change', async () => {
  const busy = { code: 'TOO_MANY_REQUESTS', detail: 'slow down' };
  assert.equal((await errorFor(429, busy, { 'Retry-After': '7' })).retryAfterMs, 7_000);
  const { retryAfterMs } = await errorFor(429, busy, { 'Retry-After': new Date(Date.now() + 90_000).toUTCString() });
  assert.ok(retryAfterMs !== null && retryAfterMs > 30_000 && retryAfterMs <= 90_000, String(retryAfterMs));
  for (const bad of ['soon', '-1']) assert.equal((await errorFor(429, busy, { 'Retry-After': bad })).retryAfterMs, null);
  const cases: readonly [status: number, code: string, transient: boolean][] = [
    [429, 'TOO_MANY_REQUESTS', true],
    [503, 'REDIS_UNAVAILABLE', true],
    [503, 'REDIS_WRONG_TYPE', false],
    [403, 'FORBIDDEN', false],
    [500, 'INTERNAL_ERROR', false],
  ];
  for (const [status, code, transient] of cases) assert.equal(isTransient(await errorFor(status, { code, detail: 'no' })), transient, code);
  assert.equal(isTransient(await errorFor(502, '')), true);
});
