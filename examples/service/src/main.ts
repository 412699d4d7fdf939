import { once } from 'node:events';
import express from 'express';
import { pino } from 'pino';
import { createDashboard } from 'taskfleet/dashboard';
import { createProducer } from 'taskfleet/producer';
import { openTelemetry } from 'taskfleet/telemetry';
import { createWorker } from 'taskfleet/worker';
import { chatRoutes } from './chats.js';
import { answerHandler, nightlyReport, reportHandler } from './tasks.js';
import { startTracing } from './tracing.js';

const redisUrl = process.env.REDIS_URL ?? 'redis://127.0.0.1:6399';
const logger = pino({ name: 'service' }, pino.destination(2));
const tracing = startTracing();
const common = { redisUrl, loggers: logger, telemetry: openTelemetry() };

const fleet = createProducer(common);
// In this process for a start. Moved to one of its own, it scales apart from the routes, and nothing else changes.
const worker = await createWorker({ ...common, handlers: [answerHandler, reportHandler(fleet)], producer: fleet, host: process });
// 'local' serves this machine only: in production, pass tokens or a function that knows your users.
const dashboard = createDashboard({ producer: fleet, auth: 'local', loggers: logger });

await worker.start();
await fleet.schedules.upsert('nightly-report', nightlyReport, {}, { cron: '0 3 * * *', timeZone: 'Europe/Berlin' });

const closing = new AbortController();
const app = express().use('/fleet', dashboard.router).use(chatRoutes(fleet, closing.signal));
const server = app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', (error) => {
  if (error) throw error; // Express passes it here, for example if the port is taken
  logger.info(server.address(), 'Listening');
});

async function shutDown(): Promise<void> {
  // Event streams would hold the server open, so they end first; the producer closes after the last request and task.
  closing.abort();
  await dashboard.close();
  const closed = once(server, 'close');
  server.close();
  await Promise.all([closed, worker.stop()]);
  await fleet.close();
  await tracing.shutdown();
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void shutDown());
