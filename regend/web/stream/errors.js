// @ts-check
/** Errors as the program meets them, the daemon's and the stream's own. */

/** An error with a stable `code`, a plain message and a hint that says what to do. */
export class StreamError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {{hint?: string, retryable?: boolean, status?: number|null, field?: string|null}} [more]
   */
  constructor(code, message, more = {}) {
    super(message);
    this.name = "StreamError";
    this.code = code;
    this.hint = more.hint ?? "";
    this.retryable = more.retryable ?? false;
    this.status = more.status ?? null;
    this.field = more.field ?? null;
  }

  /**
   * Return the error that the daemon described.
   * @param {Record<string, any>} body
   * @param {number|null} [status]
   */
  static fromBody(body, status = null) {
    const { code = "internal", message = "", hint = "", retryable = false, field = null } = body;
    const known = status ?? (typeof body.status === "number" ? body.status : null);
    const more = { hint: String(hint), retryable: Boolean(retryable), status: known, field };
    return new StreamError(String(code), String(message), more);
  }
}

/** Return the error of a command whose stream ended before its answer. */
export function streamClosed() {
  return new StreamError("stream_closed", "The stream was closed; whether the command was carried out is not known.", {
    hint: "Give it again with the same idempotency key: it is not carried out twice.",
    retryable: true,
  });
}
