// @ts-check
/**
 * The daemon's event stream in a browser: in order, without gap or duplicate, through lost
 * connections and restarts; commands are carried out once.
 *
 *     const stream = connect({ csrf, afterSeq: 0 });
 *     stream.on("model:chunk:v1", (event) => show(event.data.text));
 *     const job = await stream.start("research", { question: "…" });
 *
 * The rules 1 to 10 are numbered in the docstring of the Python package `regend.client`; the
 * classes here bear the names of those there and are held to the same scripts by `tests/client`.
 * Rule 11 is Python's alone: here every item is handed out at once and nothing is kept.
 *
 * What is the browser's own: a WebSocket cannot send headers, so each connection begins with a
 * ticket (`POST /api/v1/auth/ticket`). `offline` is no reason to stop, for the daemon of this
 * machine needs no network. `online`, and coming back to a tab, end a wait at once; a connection
 * to another machine that may have died unnoticed in the meantime is then opened anew, which
 * costs one hello. A listener that throws is reported and does not disturb the others.
 */

import { SUBPROTOCOL, StreamProtocol } from "./stream/protocol.js";
import { StreamError } from "./stream/errors.js";
import { STREAM_FRAME_CHARACTERS } from "./stream/limits.js";
import { isObject, isPosition } from "./stream/values.js";

export { StreamError, StreamProtocol };

/** @typedef {import("./stream/backoff.js").Backoff} Backoff */
/** @typedef {import("./stream/frames.js").Item} Item */
/** @typedef {import("./stream/protocol.js").Action} Action */
/** @typedef {{title?: string, model?: string, priority?: number, maxAttempts?: number, idempotencyKey?: string}} StartOptions */

const STALE_AFTER_HIDDEN_S = 60;

/**
 * @typedef {object} ConnectOptions
 * @property {string} [url] address of the daemon; the page's own by default
 * @property {string[]|null} [jobs] ids to follow; null for all of mine
 * @property {number|null} [afterSeq] go on after this position; 0 for all that is kept, null for from now on
 * @property {string|null} [epoch] the history that `afterSeq` belongs to, where known
 * @property {string|null} [token] bearer token, instead of the cookie of the session
 * @property {string|(() => string)|null} [csrf] CSRF value of the session, for use with the cookie
 * @property {Pick<Storage, "getItem"|"setItem">|null} [storage] keeps the position over reloads
 * @property {string} [storageKey]
 * @property {Backoff} [backoff]
 */

/**
 * Connect, and stay connected until `close`.
 * @param {ConnectOptions} [options]
 * @throws {StreamError} an option is not usable
 */
export function connect(options = {}) {
  return new Stream(options);
}

/** The thin shell around `StreamProtocol`: sockets, timer, listeners. It decides nothing. */
class Stream {
  /** @param {ConnectOptions} options */
  constructor(options) {
    const { storage = null, storageKey = "regend.stream" } = options;
    const stored = storage === null ? null : readPosition(storage, storageKey);
    this.url = new URL(options.url ?? globalThis.location.origin);
    this.options = options;
    this.protocol = new StreamProtocol({
      jobs: options.jobs,
      afterSeq: stored?.seq ?? options.afterSeq,
      epoch: stored?.epoch ?? options.epoch,
      random: Math.random,
      newKey,
      backoff: options.backoff,
    });
    /** @type {Map<string, Set<(item: any) => void>>} */
    this.listeners = new Map();
    /** @type {Map<string, {resolve: (answer: any) => void, reject: (error: StreamError) => void}>} */
    this.answers = new Map();
    /** @type {{abort: AbortController, socket: WebSocket|null}|null} */
    this.connection = null;
    /** @type {ReturnType<typeof setTimeout>|undefined} */
    this.timer = undefined;
    this.hiddenSinceS = nowS();
    this.savePosition = storage === null ? () => {} : () => writePosition(storage, storageKey, this.position);
    /** @type {{epoch: string|null, seq: number}|null} */
    this.handedOut = null;
    this.isMuted = false;
    this.shownState = this.protocol.state;
    this.page = new AbortController();
    this.watchPage();
    this.perform(this.protocol.start(nowS()));
  }

  /** Where the stream stands: connecting, greeting, live, waiting or closed. */
  get state() {
    return this.protocol.state;
  }

  /** After the item handed out last: what a later `connect` takes as `epoch` and `afterSeq`. */
  get position() {
    const { epoch, seq } = this.handedOut ?? this.protocol;
    return { epoch, afterSeq: seq };
  }

  /**
   * Call `listener` for a versioned event type, or for `event` (every event, also of unknown
   * type), `snapshot`, `restarted`, `state` (where the stream stands) or `error` (it has ended).
   * @param {string} type @param {(item: any) => void} listener
   * @returns {() => void} call it to stop
   */
  on(type, listener) {
    const listening = this.listeners.get(type) ?? new Set();
    this.listeners.set(type, listening.add(listener));
    return () => void listening.delete(listener);
  }

  /**
   * Create a job.
   * @param {string} type @param {Record<string, any>} input @param {StartOptions} [options]
   * @returns {Promise<Record<string, any>>} the job
   */
  async start(type, input, { idempotencyKey, maxAttempts, ...options } = {}) {
    const fields = { type, input, max_attempts: maxAttempts, ...options };
    return jobOf(await this.command("start", fields, idempotencyKey));
  }

  /** @param {string} jobId @returns {Promise<Record<string, any>>} the job */
  async cancel(jobId) {
    return jobOf(await this.command("cancel", { job_id: jobId }));
  }

  /** @param {string} jobId @returns {Promise<Record<string, any>>} the job */
  async pause(jobId) {
    return jobOf(await this.command("pause", { job_id: jobId }));
  }

  /**
   * Let a paused or waiting job go on.
   * @param {string} jobId @param {string} [choice] one of the `choices` in its `waiting`, where it waits for one
   * @returns {Promise<Record<string, any>>} the job
   */
  async resume(jobId, choice) {
    return jobOf(await this.command("resume", { job_id: jobId, choice }));
  }

  /** Follow more jobs from the present position on. @param {string[]} jobs @returns {Promise<void>} */
  async subscribe(jobs) {
    await this.command("subscribe", { jobs });
  }

  /** Follow these jobs no more. @param {string[]} jobs @returns {Promise<void>} */
  async unsubscribe(jobs) {
    await this.command("unsubscribe", { jobs });
  }

  /** End the stream; commands without an answer are rejected with `stream_closed`. */
  close() {
    this.isMuted = true;
    this.perform(this.protocol.close());
  }

  /** @param {string} op @param {Record<string, any>} fields @param {string} [key] @returns {Promise<Record<string, any>>} */
  command(op, fields, key) {
    return new Promise((resolve, reject) => {
      const [id, actions] = this.protocol.submit(op, fields, nowS(), key ?? null);
      this.answers.set(id, { resolve, reject });
      this.perform(actions);
    });
  }

  /** @param {Action[]} actions */
  perform(actions) {
    for (const action of actions) this.performOne(action);
    clearTimeout(this.timer);
    const deadlineS = this.protocol.deadlineS;
    if (deadlineS !== null) {
      const delayMs = Math.max(0, deadlineS - nowS()) * 1000;
      this.timer = setTimeout(() => this.perform(this.protocol.timer(nowS())), Math.ceil(delayMs));
    }
    if (this.state === "closed") this.page.abort();
    if (this.shownState === this.state) return;
    this.shownState = this.state;
    this.emit("state", this.state);
  }

  /** @param {Action} action */
  performOne(action) {
    switch (action.do) {
      case "connect":
        return void this.open();
      case "disconnect":
        return this.drop();
      case "send":
        return this.connection?.socket?.send(action.text);
      case "deliver":
        return this.deliver(action.items);
      case "settle":
        return this.settle(action.id, action.answer);
      case "fail":
        return this.emit("error", action.error);
    }
  }

  /** @param {Item[]} items */
  deliver(items) {
    for (const item of items) {
      if (this.isMuted) break; // a listener closed the stream: what is left comes after a resume
      this.handedOut = { epoch: this.protocol.epoch, seq: item.seq };
      if (item.kind === "event") {
        this.emit(item.event.type, item.event);
        this.emit("event", item.event);
      } else {
        this.emit(item.kind, item);
      }
    }
    this.savePosition();
  }

  /** @param {string} id @param {Record<string, any>|StreamError} answer */
  settle(id, answer) {
    const waiting = this.answers.get(id);
    this.answers.delete(id);
    if (answer instanceof StreamError) waiting?.reject(answer);
    else waiting?.resolve(answer);
  }

  /** @param {string} type @param {any} item */
  emit(type, item) {
    for (const listener of [...(this.listeners.get(type) ?? [])]) {
      try {
        listener(item);
      } catch (error) {
        globalThis.reportError?.(error);
      }
    }
  }

  async open() {
    const connection = { abort: new AbortController(), socket: /** @type {WebSocket|null} */ (null) };
    this.connection = connection;
    const isPresent = () => this.connection === connection;
    const ticket = await this.fetchTicket(connection.abort.signal);
    if (!isPresent()) return;
    if (ticket instanceof Refusal) {
      return this.perform(this.protocol.refused(ticket.status, ticket.error, ticket.retryAfterS, nowS()));
    }
    if (ticket === null) return this.perform(this.protocol.closed(1006, "", nowS()));
    const url = new URL(`/api/v1/ws?ticket=${encodeURIComponent(ticket)}`, this.url);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = openSocket(url);
    if (socket instanceof StreamError) return this.perform(this.protocol.refused(400, socket, null, nowS()));
    connection.socket = socket;
    socket.onopen = () => isPresent() && this.perform(this.protocol.opened(nowS()));
    socket.onmessage = ({ data }) => isPresent() && this.perform(this.hear(data));
    socket.onclose = ({ code, reason }) => isPresent() && this.perform(this.protocol.closed(code, reason, nowS()));
  }

  /** @param {unknown} content @returns {Action[]} */
  hear(content) {
    if (typeof content !== "string") return this.protocol.violated("a frame is binary", nowS());
    if (content.length > STREAM_FRAME_CHARACTERS) return this.protocol.violated("a frame is too large", nowS());
    return this.protocol.received(content, nowS());
  }

  /** @param {AbortSignal} signal @returns {Promise<string|Refusal|null>} null where nobody answers */
  async fetchTicket(signal) {
    const { token = null, csrf = null } = this.options;
    /** @type {Record<string, string>} */
    const headers = { "Content-Type": "application/json" };
    if (token !== null) headers.Authorization = `Bearer ${token}`;
    else if (csrf !== null) headers["X-CSRF-Token"] = typeof csrf === "function" ? csrf() : csrf;
    try {
      const url = new URL("/api/v1/auth/ticket", this.url);
      const response = await fetch(url, { method: "POST", headers, body: "{}", signal, cache: "no-store" });
      const body = await response.json().catch(() => ({}));
      if (!response.ok) return new Refusal(response, body);
      return typeof body?.ticket === "string" ? body.ticket : new Refusal(response, {}, 502);
    } catch {
      return null;
    }
  }

  drop() {
    const connection = this.connection;
    this.connection = null;
    connection?.abort.abort();
    connection?.socket?.close(1000);
  }

  watchPage() {
    const { document, addEventListener } = globalThis;
    if (!document || !addEventListener) return;
    const isLocal = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(this.url.hostname);
    const listening = { signal: this.page.signal };
    const revive = (/** @type {boolean} */ suspect) =>
      this.perform(suspect && !isLocal ? this.protocol.refresh(nowS()) : this.protocol.nudge(nowS()));
    addEventListener("online", () => revive(true), listening);
    addEventListener("pageshow", (event) => event.persisted && revive(true), listening);
    document.addEventListener(
      "visibilitychange",
      () => {
        if (document.visibilityState === "hidden") this.hiddenSinceS = nowS();
        else revive(nowS() - this.hiddenSinceS > STALE_AFTER_HIDDEN_S);
      },
      listening,
    );
  }
}

/** The HTTP answer of a daemon that gives no ticket. */
class Refusal {
  /** @param {Response} response @param {any} body @param {number} [status] */
  constructor(response, body, status = response.status) {
    const seconds = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
    const fallback = { code: `http_${status}`, message: `The daemon answered with HTTP ${status}.` };
    this.status = status;
    this.error = StreamError.fromBody(isObject(body?.error) ? body.error : fallback, status);
    this.retryAfterS = Number.isFinite(seconds) ? seconds : null;
  }
}

/** @param {URL} url @returns {WebSocket|StreamError} */
function openSocket(url) {
  try {
    return new WebSocket(url, SUBPROTOCOL);
  } catch (error) {
    return new StreamError("socket_forbidden", `The browser opens no stream to ${url.host}: ${error}`, {
      hint: "Open this page from the daemon's own address.",
    });
  }
}

/** @param {Record<string, any>} answer @returns {Record<string, any>} */
function jobOf({ job }) {
  if (isObject(job)) return job;
  throw new StreamError("protocol_violation", "The daemon answered a job command without a job.");
}

/** @param {Pick<Storage, "getItem">} storage @param {string} key @returns {{epoch: string, seq: number}|null} */
function readPosition(storage, key) {
  try {
    const { epoch, seq } = JSON.parse(storage.getItem(key) ?? "null") ?? {};
    return typeof epoch === "string" && isPosition(seq) ? { epoch, seq } : null;
  } catch {
    return null; // forbidden or spoilt storage is no storage
  }
}

/** @param {Pick<Storage, "setItem">} storage @param {string} key @param {{epoch: string|null, afterSeq: number|null}} position */
function writePosition(storage, key, { epoch, afterSeq }) {
  try {
    storage.setItem(key, JSON.stringify({ epoch, seq: afterSeq }));
  } catch {
    // A full storage costs some events again after a reload, not the stream.
  }
}

/** A fresh idempotency key; `randomUUID` is missing on plain http from another machine. */
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function nowS() {
  return performance.now() / 1000;
}
