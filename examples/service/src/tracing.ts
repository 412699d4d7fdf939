import { BatchSpanProcessor, ConsoleSpanExporter, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

/** Writes spans to the console; replace the exporter by that of your collector. */
export function startTracing(): NodeTracerProvider {
  const tracing = new NodeTracerProvider({ spanProcessors: [new BatchSpanProcessor(new ConsoleSpanExporter())] });
  tracing.register();
  return tracing;
}
