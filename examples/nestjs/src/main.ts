import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { FleetErrors } from './fleet-errors.js';
import { Fleet } from './fleet.js';
import { Stories } from './stories.js';

@Module({ controllers: [Stories], providers: [Fleet] })
class App {}

const app = await NestFactory.create<NestExpressApplication>(App);
// Before the app's body parser: the dashboard reads bodies itself.
app.use('/fleet', app.get(Fleet).dashboard.router);
app.useGlobalFilters(new FleetErrors());
// Runs the shutdown hooks; the process ends once nothing is left open. app.enableShutdownHooks() would end it with the signal.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void app.close());
await app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1');
console.log(`Listening on ${await app.getUrl()}`);
