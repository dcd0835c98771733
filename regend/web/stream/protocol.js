// @ts-check
/** The browser's side of the stream without sockets, clock or chance; it keeps the rules 1 to 10. */

import { DEFAULT_BACKOFF, Patience } from "./backoff.js";
import { CommandQueue } from "./commands.js";
import { StreamError, streamClosed } from "./errors.js";
import { numberInReason, parseFrame } from "./frames.js";
import { STREAM_CONNECT_TIMEOUT_S } from "./limits.js";
import { Position } from "./position.js";
import { Subscription } from "./subscription.js";

/** @typedef {import("./backoff.js").Backoff} Backoff */
/** @typedef {import("./frames.js").EventsFrame} EventsFrame */
/** @typedef {import("./frames.js").HelloFrame} HelloFrame */
/** @typedef {import("./frames.js").Item} Item */
/** @typedef {import("./frames.js").ReplyFrame} ReplyFrame */
/** @typedef {import("./frames.js").SnapshotFrame} SnapshotFrame */
/** @typedef {{do: "connect"}|{do: "disconnect"}|{do: "send", text: string}|{do: "deliver", items: Item[]}|{do: "settle", id: string, answer: Record<string, any>|StreamError}|{do: "fail", error: StreamError}} Action */

export const SUBPROTOCOL = "regend.v1";

const COMMANDS = new Set(["start", "cancel", "pause", "resume", "subscribe", "unsubscribe"]);
const CLOSE_VIOLATIONS = new Set([1002, 1003, 1007, 1008, 1009, 1010]);
const CONNECTED = new Set(["connecting", "greeting", "live"]);

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
    /** @type {"idle"|"connecting"|"greeting"|"live"|"waiting"|"closed"} */
    this.state = "idle";
    this.position = new Position(afterSeq, epoch);
    this.subscription = new Subscription(jobs);
    this.patience = new Patience(backoff, random);
    this.newKey = newKey;
    this.commands = new CommandQueue();
    /** @type {number|null} */
    this.waitDeadlineS = null;
    /** @type {number|null} */
    this.liveSinceS = null;
  }

  /** The history that `seq` belongs to; null before the first hello. */
  get epoch() {
    return this.position.epoch;
  }

  get seq() {
    return this.position.seq;
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
      after_seq: this.position.takeAfterSeq(),
      jobs: this.subscription.jobs,
    };
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
      return this.fail(new StreamError("not_authenticated", message, { hint: "Sign in again.", status: 401 }));
    }
    if (code === 4429) return this.wait(nowS, this.patience.floodWaitS(numberInReason(reason, "retry_after_s") ?? 0));
    if (code === 4008) {
      this.position.resumeAfter(numberInReason(reason, "after_seq"));
      return this.wait(nowS);
    }
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

  /** @param {HelloFrame} hello @param {number} nowS @returns {Action[]} */
  greeted(hello, nowS) {
    if (this.state === "live" && hello.epoch === this.epoch) return [];
    if (this.position.isOfAnotherHistory(hello)) {
      const items = [this.position.restart(hello)];
      return [{ do: "deliver", items }, { do: "disconnect" }, ...this.wait(nowS)];
    }
    this.state = "live";
    this.liveSinceS = nowS;
    this.position.greet(hello);
    return this.flush(nowS);
  }

  /** @param {EventsFrame|SnapshotFrame} frame @param {number} nowS @returns {Action[]} */
  take(frame, nowS) {
    if (this.state === "greeting") return this.violated("items came before hello", nowS);
    if (frame.op === "snapshot") {
      const snapshot = this.position.snapshot(frame);
      if (snapshot.gap !== null) this.patience.renew();
      return [{ do: "deliver", items: [snapshot] }];
    }
    if (this.position.owed !== null) return this.violated("events came before the snapshot of a gap", nowS);
    const items = this.position.fresh(frame);
    if (items.length === 0) return [];
    this.patience.renew();
    return [{ do: "deliver", items }];
  }

  /** @param {ReplyFrame} reply @param {number} nowS @returns {Action[]} */
  replied(reply, nowS) {
    const command = this.commands.answer(reply.id);
    if (command === null) return [];
    this.patience.renew();
    if (reply.answer instanceof StreamError) this.subscription = this.subscription.without(command.addedJobs);
    return [{ do: "settle", id: command.id, answer: reply.answer }, ...this.flush(nowS)];
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
    this.position.disconnect();
    this.commands.disconnect();
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
