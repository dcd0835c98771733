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

/** @typedef {{seq: number, job_id: string|null, job_seq: number|null, type: string, at: string, data: Record<string, any>}} StreamEvent */
/** @typedef {{from: number, to: number}} Gap */
/** @typedef {{kind: "event", seq: number, event: StreamEvent}} EventItem */
/** @typedef {{kind: "snapshot", seq: number, gap: Gap|null, jobs: Record<string, any>[]}} Snapshot */
/** @typedef {{kind: "restarted", seq: number, epoch: string}} Restarted */
/** @typedef {EventItem|Snapshot|Restarted} Item */
/** @typedef {{do: "connect"}|{do: "disconnect"}|{do: "send", text: string}|{do: "deliver", items: Item[]}|{do: "settle", id: string, answer: Record<string, any>|StreamError}|{do: "fail", error: StreamError}} Action */
/** @typedef {{firstS: number, lastS: number, floodS: number}} Backoff */
/** @typedef {{title?: string, model?: string, priority?: number, maxAttempts?: number, idempotencyKey?: string}} StartOptions */

// The bounds of regend/limits.py, with their reasons there.
const CLIENT_FRAME_BYTES = 64 * 1024;
const STREAM_CONNECT_TIMEOUT_S = 10;
const STREAM_SETTLED_S = 10;
const STREAM_LONGEST_WAIT_S = 60;
const STREAM_COMMANDS = 1000;
const STREAM_COMMANDS_IN_FLIGHT = 32;
const STREAM_COMMANDS_BURST = 100;
const STREAM_COMMANDS_PER_S = 40;
const STREAM_FRAME_CHARACTERS = 80 * 1024 * 1024;
const STREAM_VIOLATIONS = 5;

/** @type {Backoff} */
export const DEFAULT_BACKOFF = { firstS: 0.25, lastS: 10, floodS: 5 };
export const SUBPROTOCOL = "regend.v1";

const COMMANDS = new Set(["start", "cancel", "pause", "resume", "subscribe", "unsubscribe"]);
const CLOSE_VIOLATIONS = new Set([1002, 1003, 1007, 1008, 1009, 1010]);
const CONNECTED = new Set(["connecting", "greeting", "live"]);
const SUBSCRIPTION_ENVELOPE_BYTES = 1024;
const ONE_SENDING = 1 - 1e-6; // less the rounding of the refill: else a timer could fire for nothing
const STALE_AFTER_HIDDEN_S = 60;

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

/**
 * Return the frame, checked, or null for an operation that this version does not know.
 * @param {string} text
 * @returns {Record<string, any>|null}
 * @throws {Error} it is not JSON, or not a frame of the contract
 */
export function parseFrame(text) {
  const value = JSON.parse(text);
  if (!isObject(value) || typeof value.op !== "string") throw new Error("a frame is not an object with an op");
  switch (value.op) {
    case "hello":
      return parseHello(value);
    case "events":
      return { op: "events", events: list(value, "events").map(parseEvent) };
    case "snapshot":
      return { op: "snapshot", jobs: list(value, "jobs").map(object) };
    case "reply":
      return parseReply(value);
    default:
      return null;
  }
}

/** @param {any} value @returns {StreamEvent} */
function parseEvent(value) {
  const { seq, job_id, job_seq, type, at, data } = object(value);
  if (!isPosition(seq) || seq === 0) throw new Error("an event has no valid seq");
  if (typeof type !== "string" || !isObject(data)) throw new Error(`event ${seq} has no type or no data`);
  return {
    seq,
    job_id: typeof job_id === "string" ? job_id : null,
    job_seq: isPosition(job_seq) ? job_seq : null,
    type,
    at: typeof at === "string" ? at : "",
    data,
  };
}

/** @param {Record<string, any>} value */
function parseHello({ epoch, seq, gap = null }) {
  if (typeof epoch !== "string" || !isPosition(seq)) throw new Error("hello has no epoch or no seq");
  if (gap === null) return { op: "hello", epoch, seq, gap: null };
  const { from, to } = object(gap);
  if (!isPosition(from) || !isPosition(to) || to < from) throw new Error("the gap of hello has no valid ends");
  return { op: "hello", epoch, seq, gap: { from, to } };
}

/** @param {Record<string, any>} value */
function parseReply({ op, id, ok, ...body }) {
  if (typeof id !== "string" || typeof ok !== "boolean") throw new Error("a reply has no id or no ok");
  return ok ? { op, id, body } : { op, id, error: StreamError.fromBody(object(body.error)) };
}

/** @param {string} reason @param {string} name @returns {number|null} */
export function numberInReason(reason, name) {
  try {
    const number = JSON.parse(reason)?.[name];
    return typeof number === "number" && number >= 0 && number < 2 ** 53 ? number : null;
  } catch {
    return null;
  }
}

/** Which jobs a stream follows: all of the caller's, or a set. Immutable. */
export class Subscription {
  /** @param {string[]|null} jobs */
  constructor(jobs) {
    /** @type {string[]|null} */
    this.jobs = jobs === null ? null : [...new Set(checkedJobs(jobs))];
  }

  /** @param {string} op @param {any} jobs @returns {Subscription} */
  changed(op, jobs) {
    if (op !== "subscribe" && op !== "unsubscribe") return this;
    const named = checkedJobs(jobs);
    if (op === "subscribe") return this.jobs === null ? this : new Subscription([...this.jobs, ...named]);
    if (this.jobs !== null) return this.without(named);
    throw new StreamError("stream_follows_all", "This stream follows all jobs and cannot leave some out.", {
      hint: "Open a stream with a list of jobs.",
      status: 400,
    });
  }

  /** @param {string[]} jobs @returns {Subscription} */
  without(jobs) {
    return this.jobs === null ? this : new Subscription(this.jobs.filter((job) => !jobs.includes(job)));
  }

  /** @param {Subscription} earlier @returns {string[]} */
  beyond(earlier) {
    return (this.jobs ?? []).filter((job) => !(earlier.jobs ?? []).includes(job));
  }
}

/** @typedef {{id: string, op: string, frame: string, sent: boolean, addedJobs: string[]}} Command */

/** The unanswered commands of one stream (rule 5, and the invariants of `regend.client.commands`). */
export class CommandQueue {
  constructor() {
    /** @type {Map<string, Command>} */
    this.commands = new Map();
    this.given = 0;
    this.allowance = STREAM_COMMANDS_BURST;
    /** @type {number|null} */
    this.countedAtS = null;
  }

  /** @param {string} op @param {Record<string, any>} fields @param {string} key @returns {Command} */
  add(op, fields, key) {
    if (this.commands.size >= STREAM_COMMANDS) {
      throw new StreamError("too_many_commands", `${STREAM_COMMANDS} commands wait for the daemon already.`, {
        hint: "Wait until some of them are answered.",
        retryable: true,
        status: 503,
      });
    }
    const id = `c${this.given + 1}`;
    const frame = JSON.stringify({ op, id, idempotency_key: key, ...fields });
    const size = byteLength(frame);
    if (size > CLIENT_FRAME_BYTES) {
      const message = `The command is ${size} bytes; a stream carries ${CLIENT_FRAME_BYTES}.`;
      throw new StreamError("command_too_large", message, { hint: "Send it by POST /api/v1/jobs instead.", status: 413 });
    }
    this.given += 1;
    const command = { id, op, frame, sent: false, addedJobs: [] };
    this.commands.set(id, command);
    return command;
  }

  /** @param {number} nowS @returns {string[]} */
  takeSendable(nowS) {
    if (this.countedAtS !== null) {
      const gained = (nowS - this.countedAtS) * STREAM_COMMANDS_PER_S;
      this.allowance = Math.min(STREAM_COMMANDS_BURST, this.allowance + gained);
    }
    this.countedAtS = nowS;
    let inFlight = this.inFlight();
    const frames = [];
    for (const command of this.commands.values()) {
      if (inFlight >= STREAM_COMMANDS_IN_FLIGHT || this.allowance < ONE_SENDING) break;
      if (command.sent) continue;
      command.sent = true;
      this.allowance -= 1;
      inFlight += 1;
      frames.push(command.frame);
    }
    return frames;
  }

  /** @returns {number|null} */
  nextAtS() {
    const inFlight = this.inFlight();
    const idle = inFlight === this.commands.size || inFlight >= STREAM_COMMANDS_IN_FLIGHT;
    if (idle || this.countedAtS === null) return null;
    return this.countedAtS + Math.max(0, 1 - this.allowance) / STREAM_COMMANDS_PER_S;
  }

  disconnect() {
    for (const command of this.commands.values()) command.sent = false;
  }

  /** @param {string} id @returns {Command|null} */
  answer(id) {
    const command = this.commands.get(id) ?? null;
    this.commands.delete(id);
    return command;
  }

  /** @returns {Command[]} */
  takeAll() {
    const commands = [...this.commands.values()];
    this.commands.clear();
    return commands;
  }

  inFlight() {
    let count = 0;
    for (const command of this.commands.values()) count += command.sent ? 1 : 0;
    return count;
  }
}

/** Counts failures and violations since the last progress (rules 7 to 9). */
export class Patience {
  /** @param {Backoff} backoff @param {() => number} random */
  constructor(backoff, random) {
    this.backoff = backoff;
    this.random = random;
    this.failures = 0;
    this.violations = 0;
  }

  renew() {
    this.failures = 0;
    this.violations = 0;
  }

  isExhaustedByViolation() {
    this.violations += 1;
    return this.violations >= STREAM_VIOLATIONS;
  }

  /** @param {number} livedS @param {number} leastS */
  nextWaitS(livedS, leastS) {
    if (livedS >= STREAM_SETTLED_S) this.failures = 0;
    const { firstS, lastS } = this.backoff;
    const ceilingS = Math.min(lastS, firstS * 2 ** Math.min(this.failures + 1, 20));
    const delayS = firstS + this.random() * (ceilingS - firstS);
    this.failures += 1;
    return Math.max(delayS, Math.min(leastS, STREAM_LONGEST_WAIT_S));
  }

  /** @param {number} askedS */
  floodWaitS(askedS) {
    return Math.max(this.backoff.floodS * (1 + this.random()), askedS);
  }
}

/**
 * One stream, from first connection to close (rules 1 to 10), without sockets or clock. It is
 * told what happened and returns what to do.
 */
export class StreamProtocol {
  /**
   * @param {{jobs?: string[]|null, afterSeq?: number|null, epoch?: string|null,
   *   random: () => number, newKey: () => string, backoff?: Backoff}} options
   */
  constructor({ jobs = null, afterSeq = null, epoch = null, random, newKey, backoff = DEFAULT_BACKOFF }) {
    if (afterSeq !== null && !isPosition(afterSeq)) {
      throw new StreamError("bad_position", "afterSeq must be a whole number from 0 on.", { status: 400 });
    }
    /** @type {"idle"|"connecting"|"greeting"|"live"|"waiting"|"closed"} */
    this.state = "idle";
    this.epoch = epoch;
    this.seq = afterSeq;
    this.fromNowOn = afterSeq === null;
    this.subscription = new Subscription(jobs);
    this.patience = new Patience(backoff, random);
    this.newKey = newKey;
    this.commands = new CommandQueue();
    /** @type {number|null} */
    this.waitDeadlineS = null;
    /** @type {number|null} */
    this.liveSinceS = null;
    /** @type {Gap|null} */
    this.owed = null;
    /** @type {number|null} */
    this.resumeAfter = null;
  }

  /** When to call `timer`; null for never. */
  get deadlineS() {
    return this.state === "live" ? this.commands.nextAtS() : this.waitDeadlineS;
  }

  // What happened on the connection

  /** @param {number} nowS @returns {Action[]} */
  start(nowS) {
    return this.state === "idle" ? this.connect(nowS) : [];
  }

  /** @param {number} nowS @returns {Action[]} */
  opened(nowS) {
    if (this.state !== "connecting") return [];
    this.state = "greeting";
    this.waitDeadlineS = nowS + STREAM_CONNECT_TIMEOUT_S;
    const hello = {
      op: "hello",
      epoch: this.epoch,
      after_seq: this.resumeAfter ?? this.seq,
      jobs: this.subscription.jobs,
    };
    this.resumeAfter = null;
    return [{ do: "send", text: JSON.stringify(hello) }];
  }

  /** @param {string} text @param {number} nowS @returns {Action[]} */
  received(text, nowS) {
    if (this.state !== "greeting" && this.state !== "live") return [];
    let frame;
    try {
      frame = parseFrame(text);
    } catch (error) {
      return this.violated(String(error), nowS);
    }
    switch (frame?.op) {
      case "hello":
        return this.greeted(frame, nowS);
      case "reply":
        return this.replied(frame, nowS);
      case "events":
      case "snapshot":
        return this.take(frame, nowS);
      default:
        return [];
    }
  }

  /** @param {string} what @param {number} nowS @returns {Action[]} */
  violated(what, nowS) {
    if (!CONNECTED.has(this.state)) return [];
    if (this.patience.isExhaustedByViolation()) {
      const message = `The stream of the daemon cannot be understood: ${what}.`;
      const hint = "Use a client and a daemon of the same version.";
      return this.fail(new StreamError("protocol_violation", message, { hint }));
    }
    return [{ do: "disconnect" }, ...this.wait(nowS)];
  }

  /** @param {number} code @param {string} reason @param {number} nowS @returns {Action[]} */
  closed(code, reason, nowS) {
    if (!CONNECTED.has(this.state)) return [];
    if (code === 4401) {
      const message = "The daemon no longer accepts this session.";
      return this.fail(new StreamError("not_authenticated", message, { hint: "Sign in again: regend ui.", status: 401 }));
    }
    if (code === 4429) return this.wait(nowS, this.patience.floodWaitS(numberInReason(reason, "retry_after_s") ?? 0));
    if (code === 4008) return this.resume(numberInReason(reason, "after_seq"), nowS);
    if (CLOSE_VIOLATIONS.has(code) || code >= 4000) {
      return this.violated(`it closed with code ${code} ${reason}`.trimEnd(), nowS);
    }
    return this.wait(nowS);
  }

  /**
   * @param {number} status @param {StreamError} error @param {number|null} retryAfterS
   * @param {number} nowS @returns {Action[]}
   */
  refused(status, error, retryAfterS, nowS) {
    if (this.state !== "connecting") return [];
    if (status === 429) return this.wait(nowS, this.patience.floodWaitS(retryAfterS ?? 0));
    if (status === 408 || status === 425 || status >= 500) return this.wait(nowS, retryAfterS ?? 0);
    return this.fail(error);
  }

  /** @param {number} nowS @returns {Action[]} */
  timer(nowS) {
    const deadlineS = this.deadlineS;
    if (deadlineS === null || nowS < deadlineS) return [];
    if (this.state === "live") return this.flush(nowS);
    if (this.state === "waiting") return this.connect(nowS);
    return [{ do: "disconnect" }, ...this.wait(nowS)];
  }

  // What the program wants

  /**
   * @param {string} op @param {Record<string, any>} fields @param {number} nowS
   * @param {string|null} [key] @returns {[string, Action[]]}
   */
  submit(op, fields, nowS, key = null) {
    if (!COMMANDS.has(op)) {
      throw new StreamError("unknown_command", `A stream has no command “${op}”.`, { status: 400 });
    }
    if (this.state === "closed") throw streamClosed();
    const subscription = this.subscription.changed(op, fields.jobs);
    const command = this.commands.add(op, fields, key || this.newKey());
    command.addedJobs = subscription.beyond(this.subscription);
    this.subscription = subscription;
    if (op === "subscribe" && subscription.jobs === null) {
      this.commands.answer(command.id);
      return [command.id, [{ do: "settle", id: command.id, answer: {} }]];
    }
    return [command.id, this.flush(nowS)];
  }

  /** End a wait: there is reason to hope. @param {number} nowS @returns {Action[]} */
  nudge(nowS) {
    if (this.state !== "waiting") return [];
    this.patience.failures = 0;
    return this.connect(nowS);
  }

  /** Open the connection anew: it may be dead. @param {number} nowS @returns {Action[]} */
  refresh(nowS) {
    return CONNECTED.has(this.state) ? [{ do: "disconnect" }, ...this.connect(nowS)] : this.nudge(nowS);
  }

  /** @returns {Action[]} */
  close() {
    return this.end(streamClosed());
  }

  // Frames

  /** @param {Record<string, any>} hello @param {number} nowS @returns {Action[]} */
  greeted(hello, nowS) {
    if (this.state === "live" && hello.epoch === this.epoch) return [];
    if ((this.epoch !== null && hello.epoch !== this.epoch) || (this.seq !== null && hello.seq < this.seq)) {
      return this.restart(hello, nowS);
    }
    this.state = "live";
    this.liveSinceS = nowS;
    this.epoch = hello.epoch;
    if (this.seq === null) {
      this.seq = hello.seq;
    } else if (hello.gap !== null && hello.gap.to > this.seq) {
      this.owed = { from: Math.max(hello.gap.from, this.seq + 1), to: hello.gap.to };
    }
    return this.flush(nowS);
  }

  /** @param {Record<string, any>} hello @param {number} nowS @returns {Action[]} */
  restart(hello, nowS) {
    this.epoch = hello.epoch;
    const seq = this.fromNowOn ? hello.seq : 0;
    this.seq = seq;
    /** @type {Restarted} */
    const restarted = { kind: "restarted", seq, epoch: hello.epoch };
    return [{ do: "deliver", items: [restarted] }, { do: "disconnect" }, ...this.wait(nowS)];
  }

  /** @param {Record<string, any>} frame @param {number} nowS @returns {Action[]} */
  take(frame, nowS) {
    if (this.state === "greeting") return this.violated("items came before hello", nowS);
    if (frame.op === "snapshot") return [{ do: "deliver", items: [this.snapshot(frame)] }];
    if (this.owed !== null) return this.violated("events came before the snapshot of a gap", nowS);
    const items = this.fresh(frame);
    return items.length > 0 ? [{ do: "deliver", items }] : [];
  }

  /** @param {Record<string, any>} frame @returns {Snapshot} */
  snapshot(frame) {
    const gap = this.owed;
    this.owed = null;
    if (gap !== null) {
      this.seq = gap.to;
      this.patience.renew();
    }
    return { kind: "snapshot", seq: this.seq ?? 0, gap, jobs: frame.jobs };
  }

  /** @param {Record<string, any>} frame @returns {Item[]} */
  fresh(frame) {
    /** @type {Item[]} */
    const items = [];
    for (const event of frame.events) {
      if (this.seq !== null && event.seq <= this.seq) continue;
      this.seq = event.seq;
      items.push({ kind: "event", seq: event.seq, event });
    }
    if (items.length > 0) this.patience.renew();
    return items;
  }

  /** @param {Record<string, any>} reply @param {number} nowS @returns {Action[]} */
  replied(reply, nowS) {
    const command = this.commands.answer(reply.id);
    if (command === null) return [];
    this.patience.renew();
    if (reply.error) this.subscription = this.subscription.without(command.addedJobs);
    return [{ do: "settle", id: command.id, answer: reply.error ?? reply.body }, ...this.flush(nowS)];
  }

  // Connections

  /** @param {number} nowS @returns {Action[]} */
  connect(nowS) {
    this.state = "connecting";
    this.waitDeadlineS = nowS + STREAM_CONNECT_TIMEOUT_S;
    this.forgetConnection();
    return [{ do: "connect" }];
  }

  /** @param {number} nowS @param {number} [leastS] @returns {Action[]} */
  wait(nowS, leastS = 0) {
    const livedS = this.liveSinceS === null ? 0 : nowS - this.liveSinceS;
    const delayS = this.patience.nextWaitS(livedS, leastS);
    this.state = "waiting";
    this.waitDeadlineS = nowS + delayS;
    this.forgetConnection();
    return [];
  }

  forgetConnection() {
    this.liveSinceS = null;
    this.owed = null;
    this.commands.disconnect();
  }

  /** @param {number|null} afterSeq @param {number} nowS @returns {Action[]} */
  resume(afterSeq, nowS) {
    if (isPosition(afterSeq) && this.seq !== null) this.resumeAfter = Math.min(afterSeq, this.seq);
    return this.wait(nowS);
  }

  /** @param {number} nowS @returns {Action[]} */
  flush(nowS) {
    if (this.state !== "live") return [];
    return this.commands.takeSendable(nowS).map((text) => ({ do: "send", text }));
  }

  /** @param {StreamError} error @returns {Action[]} */
  fail(error) {
    return [...this.end(error), { do: "fail", error }];
  }

  /** @param {StreamError} error @returns {Action[]} */
  end(error) {
    if (this.state === "closed") return [];
    this.state = "closed";
    this.waitDeadlineS = null;
    const unanswered = this.commands.takeAll();
    return [{ do: "disconnect" }, ...unanswered.map(({ id }) => ({ do: /** @type {const} */ ("settle"), id, answer: error }))];
  }
}

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

  /** @param {string} jobId @returns {Promise<Record<string, any>>} the job */
  async resume(jobId) {
    return jobOf(await this.command("resume", { job_id: jobId }));
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

function streamClosed() {
  return new StreamError("stream_closed", "The stream was closed; whether the command was carried out is not known.", {
    hint: "Give it again with the same idempotency key: it is not carried out twice.",
    retryable: true,
  });
}

/** @param {any} jobs @returns {string[]} */
function checkedJobs(jobs) {
  if (!Array.isArray(jobs) || !jobs.every((job) => typeof job === "string" && job !== "")) {
    throw new StreamError("bad_job_ids", "jobs must be a list of job ids.", { field: "jobs", status: 400 });
  }
  if (byteLength(JSON.stringify(jobs)) + SUBSCRIPTION_ENVELOPE_BYTES > CLIENT_FRAME_BYTES) {
    throw new StreamError("too_many_jobs", `${jobs.length} jobs do not fit into one subscription.`, {
      hint: "Follow all jobs, or open a second stream.",
      status: 413,
    });
  }
  return jobs;
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

/** @param {string} text */
function byteLength(text) {
  return new TextEncoder().encode(text).length;
}

/** @param {unknown} value @returns {value is number} */
function isPosition(value) {
  return Number.isSafeInteger(value) && /** @type {number} */ (value) >= 0;
}

/** @param {unknown} value @returns {value is Record<string, any>} */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @param {unknown} value @returns {Record<string, any>} */
function object(value) {
  if (!isObject(value)) throw new Error("an object is missing");
  return value;
}

/** @param {Record<string, any>} value @param {string} name @returns {any[]} */
function list(value, name) {
  if (!Array.isArray(value[name])) throw new Error(`${value.op} has no ${name}`);
  return value[name];
}
