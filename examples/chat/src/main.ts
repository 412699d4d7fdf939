import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { createProducer } from 'taskfleet/producer';
import { createWorker } from 'taskfleet/worker';
import { answerWith } from './answer.js';
import { startModel } from './model.js';
import { createServer } from './server.js';

const { REDIS_URL: redisUrl = 'redis://127.0.0.1:6399', PORT = '3000', WORDS_PER_SECOND = '20' } = process.env;
const { OPENAI_BASE_URL, OPENAI_API_KEY = '', OPENAI_MODEL = 'demo' } = process.env;

const baseURL = OPENAI_BASE_URL ?? (await startModel(Number(WORDS_PER_SECOND))).url;
const model = createOpenAICompatible({ name: 'openai', baseURL, apiKey: OPENAI_API_KEY })(OPENAI_MODEL);

const fleet = createProducer({ redisUrl });
const worker = await createWorker({ redisUrl, handlers: [answerWith(model)] });
await worker.start();
const server = createServer(fleet).listen(Number(PORT), '127.0.0.1', (error) => {
  if (error) throw error; // Express passes it here, for example if the port is taken
  const address = server.address();
  console.log(`Chat at http://127.0.0.1:${typeof address === 'object' ? address?.port : PORT}`);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    server.closeAllConnections();
    server.close();
    // Running answers go on in another process, or when this one is started again.
    await worker.stop();
    await fleet.close();
    process.exit();
  });
}
