import { BadRequestException, Body, Controller, Delete, Get, Headers, HttpCode, Param, Post, Res } from '@nestjs/common';
import type { Response } from 'express';
import { eventToJson, receiptToJson } from 'taskfleet/producer';
import { Fleet } from './fleet.js';
import { writeStory } from './tasks.js';

interface NewStory {
  readonly user: string;
  readonly topic: string;
  readonly words?: number;
}

@Controller('stories')
export class Stories {
  constructor(private readonly fleet: Fleet) {}

  @Post()
  @HttpCode(202)
  async write(@Body() body: NewStory | undefined): Promise<{ id: string }> {
    if (typeof body?.user !== 'string') throw new BadRequestException('Expected JSON with a user');
    const { user, ...input } = body;
    const { id } = await this.fleet.producer.enqueue(writeStory, input, { item: user });
    return { id };
  }

  @Get(':id/events')
  async follow(@Param('id') id: string, @Headers('last-event-id') after: string | undefined, @Res() res: Response): Promise<void> {
    const gone = new AbortController();
    res.once('close', () => gone.abort());
    const signal = AbortSignal.any([gone.signal, this.fleet.closing]);
    try {
      for await (const event of this.fleet.producer.events(id, { after, signal })) {
        // A kept connection would hold up app.close(), long after the stream has ended.
        if (!res.headersSent)
          res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store, no-transform', Connection: 'close' });
        const data = JSON.stringify(eventToJson(event));
        res.write(`${event.id ? `id: ${event.id}\n` : ''}event: ${event.type}\ndata: ${data}\n\n`);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    res.end();
  }

  @Delete(':id')
  async stop(@Param('id') id: string): Promise<Record<string, unknown>> {
    return receiptToJson(await this.fleet.producer.stop(id, { reason: 'deleted by its user', waitMs: 5_000 }));
  }
}
