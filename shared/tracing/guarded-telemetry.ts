import { describeValue, isObject } from '../arguments.js';
import { FleetError } from '../errors.js';
import { type Logger, RepeatedLines } from '../log/logger.js';
import type { StopReceipt } from '../stop/receipt.js';
import type { Carrier } from './carrier.js';
import type {
  ActiveSpan,
  AttemptSpan,
  AttemptTrace,
  Gauge,
  RequestSpan,
  RequestStart,
  SendStart,
  SentTask,
  SettledStop,
  StopStart,
  Telemetry,
  ThreadTrace,
  TraceFields,
} from './telemetry.js';

const METHODS = ['send', 'stop', 'attempt', 'stopSettled', 'request', 'observe'] as const satisfies (keyof Telemetry)[];

/**
 * Returns the telemetry of a config; null for none. Its faults, such as those of a span processor, are logged and do not reach the calls
 * that it traces.
 * @throws FleetError `INVALID_SETTINGS`
 */
export function telemetryOf(given: unknown, maker: string, logger: Logger): Telemetry | null {
  if (given === undefined || given === null) return null;
  if (isObject(given) && METHODS.every((name) => typeof (given as Partial<Telemetry>)[name] === 'function'))
    return new GuardedTelemetry(given as Telemetry, new Faults(logger));
  throw new FleetError(
    'INVALID_SETTINGS',
    `${maker}: expected telemetry from openTelemetry of taskfleet/telemetry, got ${describeValue(given)}.`,
  );
}

/** Logs the faults of telemetry. */
class Faults {
  readonly #lines: RepeatedLines;

  constructor(logger: Logger) {
    this.#lines = new RepeatedLines(logger);
  }

  report(call: string, error: unknown): void {
    this.#lines.warn(call, { error, call }, 'Telemetry failed; going on without this span or value');
  }

  /** Returns the result of a call of the telemetry, or the fallback if it throws. */
  catch<Result>(call: string, work: () => Result, fallback: Result): Result {
    try {
      return work();
    } catch (error) {
      this.report(call, error);
      return fallback;
    }
  }

  /** Runs `work` once, in the telemetry if that can, and returns or throws what `work` does. */
  during<Result>(call: string, traced: (work: () => Result) => unknown, work: () => Result): Result {
    const end: { value?: { readonly of: Result }; error?: { readonly of: unknown } } = {};
    const recorded = (): Result => {
      try {
        return (end.value = { of: work() }).of;
      } catch (error) {
        end.error = { of: error };
        throw error;
      }
    };
    try {
      traced(recorded);
    } catch (error) {
      if (!end.error || end.error.of !== error) this.report(call, error);
    }
    if (end.error) throw end.error.of;
    return end.value ? end.value.of : work();
  }
}

type Work<Result> = (carrier: Carrier | undefined) => Promise<Result>;

class GuardedTelemetry implements Telemetry {
  constructor(
    private readonly inner: Telemetry,
    private readonly faults: Faults,
  ) {}

  send<Result extends SentTask | readonly SentTask[]>(start: SendStart, work: Work<Result>): Promise<Result> {
    return this.#during('send', (once) => this.inner.send(start, once), work);
  }

  stop(start: StopStart, work: Work<StopReceipt[]>): Promise<StopReceipt[]> {
    return this.#during('stop', (once) => this.inner.stop(start, once), work);
  }

  attempt(start: AttemptTrace): AttemptSpan {
    const span = this.faults.catch('attempt', () => this.inner.attempt(start), NO_SPAN);
    return new GuardedAttempt(span, this.faults);
  }

  stopSettled(stop: SettledStop): void {
    const { attempt } = stop;
    const inner = attempt instanceof GuardedAttempt ? attempt.inner : attempt;
    this.faults.catch('stopSettled', () => this.inner.stopSettled({ ...stop, attempt: inner }), undefined);
  }

  request(start: RequestStart): RequestSpan {
    const span = this.faults.catch<RequestSpan>('request', () => this.inner.request(start), NO_SPAN);
    return new GuardedRequest(span, this.faults);
  }

  observe(gauges: readonly Gauge[]): () => void {
    const end = this.faults.catch(
      'observe',
      () => this.inner.observe(gauges),
      () => undefined,
    );
    return () => this.faults.catch('observe', end, undefined);
  }

  /** Runs `work` once, and settles as it does: an enqueue whose span fails to end has added its task. */
  async #during<Result>(call: string, traced: (work: Work<Result>) => Promise<unknown>, work: Work<Result>): Promise<Result> {
    const begun: Promise<Result>[] = [];
    const once: Work<Result> = (carrier) => {
      const [running] = begun;
      if (running) return running;
      const result = work(carrier);
      // Until the telemetry returns, nobody else may be listening.
      result.catch(() => undefined);
      begun.push(result);
      return result;
    };
    try {
      await traced(once);
    } catch (error) {
      const failure = await begun[0]?.then(
        () => null,
        (thrown: unknown) => thrown,
      );
      if (failure !== error) this.faults.report(call, error);
    }
    return once(undefined);
  }
}

/** Stands for a span that could not be started. */
const NO_SPAN: AttemptSpan & RequestSpan = Object.freeze({
  carrier: undefined,
  fields: undefined,
  thread: undefined,
  run: <Result>(work: () => Result) => work(),
  resume: <Result>(_carrier: Carrier, work: () => Result) => work(),
  aborted: () => undefined,
  end: () => undefined,
});

class GuardedSpan<Span extends ActiveSpan> implements ActiveSpan {
  constructor(
    readonly inner: Span,
    protected readonly faults: Faults,
  ) {}

  get carrier(): Carrier | undefined {
    return this.faults.catch('carrier', () => this.inner.carrier, undefined);
  }

  get fields(): TraceFields | undefined {
    return this.faults.catch('fields', () => this.inner.fields, undefined);
  }

  run<Result>(work: () => Result): Result {
    return this.faults.during('run', (recorded) => this.inner.run(recorded), work);
  }
}

class GuardedAttempt extends GuardedSpan<AttemptSpan> implements AttemptSpan {
  get thread(): ThreadTrace | undefined {
    return this.faults.catch('thread', () => this.inner.thread, undefined);
  }

  resume<Result>(carrier: Carrier, work: () => Result): Result {
    return this.faults.during('resume', (recorded) => this.inner.resume(carrier, recorded), work);
  }

  aborted(...args: Parameters<AttemptSpan['aborted']>): void {
    this.faults.catch('aborted', () => this.inner.aborted(...args), undefined);
  }

  end(...args: Parameters<AttemptSpan['end']>): void {
    this.faults.catch('end', () => this.inner.end(...args), undefined);
  }
}

class GuardedRequest extends GuardedSpan<RequestSpan> implements RequestSpan {
  end(...args: Parameters<RequestSpan['end']>): void {
    this.faults.catch('end', () => this.inner.end(...args), undefined);
  }
}
