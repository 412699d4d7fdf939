import { type ArgumentsHost, Catch, type ExceptionFilter, Logger } from '@nestjs/common';
import type { Response } from 'express';
import { FleetError, httpStatusOf } from 'taskfleet';

/** Answers errors of the fleet by their code: 400 for a bad input, 404 for an unknown task, 503 without Redis. */
@Catch(FleetError)
export class FleetErrors implements ExceptionFilter<FleetError> {
  readonly #logger = new Logger('Fleet');

  catch(error: FleetError, host: ArgumentsHost): void {
    const res = host.switchToHttp().getResponse<Response>();
    const status = httpStatusOf(error);
    if (status >= 500) this.#logger.error(error);
    if (res.headersSent) res.destroy();
    else res.status(status).json({ error: status < 500 ? error.message : 'Try again later' });
  }
}
