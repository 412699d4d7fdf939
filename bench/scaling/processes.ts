import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Order, Report } from './load.js';

/** The worker processes of a benchmark, idle until they are told to start. */
export class WorkerProcesses {
  private constructor(private readonly children: readonly ChildProcess[]) {}

  static open(count: number): WorkerProcesses {
    const file = new URL('./worker-process.ts', import.meta.url);
    return new WorkerProcesses(Array.from({ length: count }, () => fork(file, { execArgv: ['--import', 'tsx'] })));
  }

  /** Sends an order to the first processes. Resolves with the sum of their reports. */
  async all(count: number, order: Order): Promise<Report> {
    const reports = await Promise.all(this.children.slice(0, count).map((child) => ask(child, order)));
    return reports.reduce((sum, { ran, cpuUs }) => ({ ran: sum.ran + ran, cpuUs: sum.cpuUs + cpuUs }), { ran: 0, cpuUs: 0 });
  }

  async close(): Promise<void> {
    await Promise.all(
      this.children.map(async (child) => {
        const gone = once(child, 'exit');
        child.disconnect();
        await gone;
      }),
    );
  }
}

async function ask(child: ChildProcess, order: Order): Promise<Report> {
  const ended = new AbortController();
  const exit = (): void => ended.abort(new Error('A worker process ended during the benchmark'));
  child.once('exit', exit);
  try {
    const answer = once(child, 'message', { signal: ended.signal });
    child.send(order);
    const [report] = (await answer) as [Report];
    return report;
  } catch (error) {
    throw ended.signal.aborted ? ended.signal.reason : error;
  } finally {
    child.off('exit', exit);
  }
}
