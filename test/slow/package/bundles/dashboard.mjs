import { createDashboard } from 'taskfleet/dashboard';
import { createProducer } from 'taskfleet/producer';

const producer = createProducer({ redisUrl: process.env.REDIS_URL, logLevel: 'silent' });
try {
  createDashboard({ producer, auth: 'none' });
} catch (error) {
  console.log(error.code);
}
void producer.close();
