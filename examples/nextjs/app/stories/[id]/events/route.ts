import { type TaskEvent, eventToJson } from 'taskfleet/producer';
import { answerTo, fleet, untilGone } from '../../../../lib/fleet';

export async function GET(request: Request, { params }: { params: Promise<{ id: string }> }): Promise<Response> {
  const { id } = await params;
  const after = request.headers.get('Last-Event-ID') ?? undefined;
  const signal = untilGone(request);
  const events = fleet().events(id, { after, signal });
  try {
    // Read before the response begins, so that an unknown task is a 404.
    const first = await events.next();
    return new Response(streamOf(first, events, signal), {
      headers: { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store, no-transform' },
    });
  } catch (error) {
    return answerTo(error);
  }
}

/** Returns the events as server-sent events, until the task ends or the signal is aborted. */
function streamOf(
  first: IteratorResult<TaskEvent, void>,
  events: AsyncGenerator<TaskEvent, void>,
  signal: AbortSignal,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let next: Promise<IteratorResult<TaskEvent, void>> | IteratorResult<TaskEvent, void> = first;
  return new ReadableStream({
    async pull(controller) {
      try {
        const { done, value: event } = await next;
        if (done) return controller.close();
        const data = JSON.stringify(eventToJson(event));
        controller.enqueue(encoder.encode(`${event.id ? `id: ${event.id}\n` : ''}event: ${event.type}\ndata: ${data}\n\n`));
        next = events.next();
      } catch (error) {
        if (signal.aborted) controller.close();
        else controller.error(error);
      }
    },
  });
}
