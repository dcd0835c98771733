// @ts-check
/**
 * The text frames of the stream, checked before anything acts on them. A frame is taken whole or
 * refused whole: what is malformed throws and changes nothing.
 */

import { StreamError } from "./errors.js";
import { isObject, isPosition } from "./values.js";

/** @typedef {{seq: number, job_id: string|null, job_seq: number|null, type: string, at: string, data: Record<string, any>}} StreamEvent */
/** @typedef {{from: number, to: number}} Gap */
/** @typedef {{kind: "event", seq: number, event: StreamEvent}} EventItem */
/** @typedef {{kind: "snapshot", seq: number, gap: Gap|null, jobs: Record<string, any>[]}} Snapshot */
/** @typedef {{kind: "restarted", seq: number, epoch: string}} Restarted */
/** @typedef {EventItem|Snapshot|Restarted} Item */

/** @typedef {{op: "hello", epoch: string, seq: number, gap: Gap|null}} HelloFrame */
/** @typedef {{op: "events", events: StreamEvent[]}} EventsFrame */
/** @typedef {{op: "snapshot", jobs: Record<string, any>[]}} SnapshotFrame */
/** @typedef {{op: "reply", id: string, answer: Record<string, any>|StreamError}} ReplyFrame */
/** @typedef {HelloFrame|EventsFrame|SnapshotFrame|ReplyFrame} Frame */

/**
 * Return the frame, checked, or null for an operation that this version does not know.
 * @param {string} text
 * @returns {Frame|null}
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

/** @param {Record<string, any>} value @returns {HelloFrame} */
function parseHello({ epoch, seq, gap = null }) {
  if (typeof epoch !== "string" || !isPosition(seq)) throw new Error("hello has no epoch or no seq");
  if (gap === null) return { op: "hello", epoch, seq, gap: null };
  const { from, to } = object(gap);
  if (!isPosition(from) || !isPosition(to) || to < from) throw new Error("the gap of hello has no valid ends");
  return { op: "hello", epoch, seq, gap: { from, to } };
}

/** @param {Record<string, any>} value @returns {ReplyFrame} */
function parseReply({ op: _op, id, ok, ...body }) {
  if (typeof id !== "string" || typeof ok !== "boolean") throw new Error("a reply has no id or no ok");
  return { op: "reply", id, answer: ok ? body : StreamError.fromBody(object(body.error)) };
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

/** @param {string} reason @param {string} name @returns {number|null} */
export function numberInReason(reason, name) {
  try {
    const number = JSON.parse(reason)?.[name];
    return typeof number === "number" && number >= 0 && number < 2 ** 53 ? number : null;
  } catch {
    return null;
  }
}
