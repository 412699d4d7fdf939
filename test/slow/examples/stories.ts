import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { type EventSourceMessage, EventSourceParserStream } from 'eventsource-parser/stream';
import { installExample } from '../../support/examples/example.js';
import { ownPort } from '../../support/process/ports.js';
import type { NodeProcess } from '../../support/process/processes.js';
import { startTestRedis } from '../../support/redis/test-redis.js';

export interface StoriesOptions {
  /** The line of the server's output after which it takes requests. */
  readonly ready: RegExp;
  /** Whether the example must be built, which checks its types too. Default false. */
  readonly isBuilt?: boolean;
  /** For everything that the example runs. Default: none. */
  readonly env?: Readonly<Record<string, string>>;
  /** Another script that must run beside the server, and the line after which it takes requests. Default: none. */
  readonly beside?: { readonly script: string; readonly ready: RegExp };
  /** For requests to the dashboard. Default: none. */
  readonly headers?: Record<string, string>;
}

interface Service {
  readonly url: string;
  readonly server: NodeProcess;
  readonly headers: Record<string, string>;
}

/**
 * Installs an example that embeds the fleet in a web framework, and runs it with a worker: a story is enqueued, followed, resumed and
 * stopped through its routes, the dashboard answers below /fleet, and SIGTERM ends the server, open streams included.
 */
export async function checkStories(t: TestContext, name: string, options: StoriesOptions): Promise<void> {
  const redis = await startTestRedis();
  t.after(() => redis.stop());
  const example = await installExample(t, name, { env: { REDIS_URL: redis.url, ...options.env } });
  if (options.isBuilt) await example.run('npm', ['run', 'build']);
  else await example.run('npm', ['run', 'typecheck']);
  const worker = await example.startScript('worker');
  const { beside } = options;
  await Promise.all([
    worker.waitForLine(/Worker is ready/),
    beside && example.startScript(beside.script).then((started) => started.waitForLine(beside.ready)),
  ]);
  const port = await ownPort();
  const server = await example.startScript('start', { PORT: String(port) });
  await server.waitForLine(options.ready);
  await check({ url: `http://127.0.0.1:${port}`, server, headers: options.headers ?? {} });
}

async function check(service: Service): Promise<void> {
  await checkRoutes(service);
  await checkDashboard(service);
  await checkShutdown(service);
}

async function checkRoutes({ url }: Service): Promise<void> {
  const refused = await post(`${url}/stories`, { user: 'ada', topic: '' });
  assert.equal(refused.status, 400);
  assert.match(await refused.text(), /topic/);
  const missing = await fetch(`${url}/stories/no-such-story/events`);
  assert.equal(missing.status, 404);
  await missing.body?.cancel();

  const id = await writeStory(url, 10_000);
  const seen = await take(`${url}/stories/${id}/events`, {}, (event) => event.event === 'chunk' && 'there' === chunkOf(event));
  assert.deepEqual(seen.filter(({ event }) => event === 'chunk').map(chunkOf), ['Once', 'upon', 'a', 'time', 'there']);
  const stream = take(`${url}/stories/${id}/events`, { 'Last-Event-ID': seen.at(-1)?.id ?? '' });
  const receipt = (await (await fetch(`${url}/stories/${id}`, { method: 'DELETE' })).json()) as Record<string, unknown>;
  assert.deepEqual([receipt['id'], receipt['outcome'], receipt['via']], [id, 'cancelled', 'signal']);
  const rest = await stream;
  assert.match(rest.at(-1)?.data ?? '', /"state":"cancelled"/);
  assert.deepEqual(
    rest.filter((event) => event.event === 'chunk' && ['Once', 'there'].includes(chunkOf(event))),
    [],
    'chunks before Last-Event-ID came again',
  );

  const finished = await take(`${url}/stories/${await writeStory(url, 2)}/events`, {});
  assert.match(finished.at(-1)?.data ?? '', /"state":"completed"/);
}

async function checkDashboard({ url, headers }: Service): Promise<void> {
  const fleet = `${url}/fleet`;
  const page = await fetch(`${fleet}/tasks`, { headers: { ...headers, Accept: 'text/html' } });
  assert.deepEqual([page.status, /<title>/.test(await page.text())], [200, true]);
  const style = await fetch(`${fleet}/assets/page/css/base.css`);
  assert.deepEqual([style.status, style.headers.get('Content-Type')], [200, 'text/css; charset=utf-8']);
  await style.body?.cancel();

  const added = await post(`${fleet}/api/v1/tasks`, { name: 'fleet.canary', input: { run_ms: 60_000 } }, headers);
  const { id } = (await added.json()) as { id: string };
  assert.deepEqual([added.status, added.headers.get('Location')], [202, `/fleet/api/v1/tasks/${id}`]);
  const events = await take(`${fleet}/api/v1/tasks/${id}/events`, headers, ({ data }) => data.includes('"state":"running"'));
  assert.ok(events.length > 0);
  const stopped = await post(`${fleet}/api/v1/tasks/${id}/stop?wait_ms=20000`, {}, headers);
  assert.equal(((await stopped.json()) as { outcome: string }).outcome, 'cancelled');

  const nothing = await fetch(`${url}/fleets`);
  assert.deepEqual([nothing.status, (await nothing.text()).includes('There is nothing at this path')], [404, false]);
}

async function checkShutdown({ url, server, headers }: Service): Promise<void> {
  const id = await writeStory(url, 10_000);
  const isRunning = ({ event }: EventSourceMessage): boolean => event === 'chunk';
  const own = await open(`${url}/stories/${id}/events`, {}, isRunning);
  const ours = await open(`${url}/fleet/api/v1/tasks/${id}/events`, headers, isRunning);
  server.kill('SIGTERM');
  await Promise.all([own.rest(), ours.rest()]);
  assert.deepEqual(await server.exit, { code: 0, signal: null }, server.stderr.text);
}

async function writeStory(url: string, words: number): Promise<string> {
  const added = await post(`${url}/stories`, { user: 'ada', topic: 'whale', words });
  assert.equal(added.status, 202);
  return ((await added.json()) as { id: string }).id;
}

export function post(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(url, { method: 'POST', headers: { ...headers, 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
}

function chunkOf({ data }: EventSourceMessage): string {
  return (JSON.parse(data) as { chunk: string }).chunk;
}

/** Reads an event stream up to an event like this, or to its end. */
export async function take(
  url: string,
  headers: Record<string, string>,
  isLast: (event: EventSourceMessage) => boolean = () => false,
): Promise<EventSourceMessage[]> {
  const { seen, close } = await open(url, headers, isLast);
  await close();
  return seen;
}

/** For a stream from its start to its end. */
const STREAM_LIMIT_MS = 60_000;

interface OpenStream {
  readonly seen: EventSourceMessage[];
  /** Reads to the end of the stream; an end without the last chunk of its response is one too. */
  rest(): Promise<void>;
  readonly close: () => Promise<void>;
}

async function open(url: string, headers: Record<string, string>, isEnough: (event: EventSourceMessage) => boolean): Promise<OpenStream> {
  const response = await fetch(url, { headers: { ...headers, Accept: 'text/event-stream' }, signal: AbortSignal.timeout(STREAM_LIMIT_MS) });
  assert.equal(response.status, 200, url);
  assert.match(response.headers.get('Content-Type') ?? '', /^text\/event-stream/);
  const body = response.body as NonNullable<Response['body']>;
  const reader = body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream()).getReader();
  const seen: EventSourceMessage[] = [];
  for (;;) {
    const { value } = await reader.read();
    if (value !== undefined) seen.push(value);
    if (value === undefined || isEnough(value)) break;
  }
  const rest = async (): Promise<void> => {
    try {
      while (!(await reader.read()).done);
    } catch (error) {
      assert.match(String(error), /terminated/);
    }
  };
  return { seen, rest, close: () => reader.cancel() };
}
