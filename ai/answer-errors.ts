/**
 * A new attempt of the answer has begun, and the SDK cannot take back the finished steps of the former one from a message that it streams.
 * Call `resumeStream()` of the chat: the message is then replaced. Thrown for answers of several steps only.
 */
export class AnswerRestarted extends Error {
  override readonly name = 'AnswerRestarted';

  /** @param after the id of the last event before the new attempt */
  constructor(readonly after: string | null) {
    super('The answer has begun again; resume the stream to follow it.');
  }
}

/** The task of the answer failed, or was skipped. */
export class AnswerFailed extends Error {
  override readonly name = 'AnswerFailed';

  /** @param code of the error that failed the task, if it has one */
  constructor(
    message: string,
    readonly code: string | null,
  ) {
    super(message);
  }
}
