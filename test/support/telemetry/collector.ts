import { once } from 'node:events';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { until } from '../until.js';

interface Attribute {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}

/** A span as a collector receives it, in OTLP's JSON. */
export interface CollectedSpan {
  readonly service: unknown;
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
}

interface Resourceful {
  readonly resource: { readonly attributes: readonly Attribute[] };
}

interface Traces {
  readonly resourceSpans?: readonly (Resourceful & {
    readonly scopeSpans: readonly { readonly spans: readonly (Omit<CollectedSpan, 'links'> & Partial<Pick<CollectedSpan, 'links'>>)[] }[];
  })[];
}

interface Metrics {
  readonly resourceMetrics?: readonly (Resourceful & {
    readonly scopeMetrics: readonly { readonly metrics: readonly { readonly name: string }[] }[];
  })[];
}

/** A collector of OpenTelemetry that accepts OTLP as JSON over HTTP. */
export class Collector {
  readonly spans: CollectedSpan[] = [];
  readonly metrics = new Set<string>();

  private constructor(private readonly server: Server) {
    server.on('request', (req, res) => {
      void json(req).then((body) => {
        if (req.url === '/v1/traces') this.#addSpans(body as Traces);
        else if (req.url === '/v1/metrics') this.#addMetrics(body as Metrics);
        res.writeHead(200, { 'Content-Type': 'application/json' }).end('{}');
      });
    });
  }

  static async start(): Promise<Collector> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Collector(server);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Resolves with the first span of a name. */
  async span(name: string): Promise<CollectedSpan> {
    const found = await until(
      () => Promise.resolve(this.spans.filter((span) => span.name === name)),
      ({ length }) => length > 0,
    );
    return found[0] as CollectedSpan;
  }

  stop(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  #addSpans({ resourceSpans = [] }: Traces): void {
    for (const { resource, scopeSpans } of resourceSpans) {
      const service = resource.attributes.find(({ key }) => key === 'service.name')?.value['stringValue'];
      for (const { spans } of scopeSpans) for (const span of spans) this.spans.push({ ...span, service, links: span.links ?? [] });
    }
  }

  #addMetrics({ resourceMetrics = [] }: Metrics): void {
    for (const { scopeMetrics } of resourceMetrics)
      for (const { metrics } of scopeMetrics) for (const { name } of metrics) this.metrics.add(name);
  }
}
