// @ts-check
/** Where a stream stands in the daemon's history: rules 1, 3, 4 and 7. */

import { StreamError } from "./errors.js";
import { isPosition } from "./values.js";

/** @typedef {import("./frames.js").Gap} Gap */
/** @typedef {import("./frames.js").HelloFrame} HelloFrame */
/** @typedef {import("./frames.js").EventsFrame} EventsFrame */
/** @typedef {import("./frames.js").SnapshotFrame} SnapshotFrame */
/** @typedef {import("./frames.js").Item} Item */
/** @typedef {import("./frames.js").Restarted} Restarted */
/** @typedef {import("./frames.js").Snapshot} Snapshot */

/** The `seq` of the last item handed out, and the history that it belongs to. */
export class Position {
  /** @param {number|null} seq @param {string|null} epoch */
  constructor(seq, epoch) {
    if (seq !== null && !isPosition(seq)) {
      throw new StreamError("bad_position", "afterSeq must be a whole number from 0 on.", { status: 400 });
    }
    this.seq = seq;
    this.epoch = epoch;
    this.fromNowOn = seq === null;
    /** @type {Gap|null} */
    this.owed = null;
    /** @type {number|null} */
    this.resumePoint = null;
  }

  /** What the next hello asks for; a resume point of the daemon counts once. @returns {number|null} */
  takeAfterSeq() {
    const afterSeq = this.resumePoint ?? this.seq;
    this.resumePoint = null;
    return afterSeq;
  }

  /** Take the resume point of a close reason, but none beyond the position. @param {number|null} seq */
  resumeAfter(seq) {
    if (isPosition(seq) && this.seq !== null) this.resumePoint = Math.min(seq, this.seq);
  }

  /** @param {HelloFrame} hello */
  isOfAnotherHistory(hello) {
    return (this.epoch !== null && hello.epoch !== this.epoch) || (this.seq !== null && hello.seq < this.seq);
  }

  /** @param {HelloFrame} hello @returns {Restarted} */
  restart(hello) {
    const seq = this.fromNowOn ? hello.seq : 0;
    this.epoch = hello.epoch;
    this.seq = seq;
    return { kind: "restarted", seq, epoch: hello.epoch };
  }

  /** Take the daemon's hello; a gap in it owes a snapshot. @param {HelloFrame} hello */
  greet(hello) {
    this.epoch = hello.epoch;
    if (this.seq === null) {
      this.seq = hello.seq;
    } else if (hello.gap !== null && hello.gap.to > this.seq) {
      this.owed = { from: Math.max(hello.gap.from, this.seq + 1), to: hello.gap.to };
    }
  }

  /** The connection is gone: the next hello tells of the gap again. */
  disconnect() {
    this.owed = null;
  }

  /** One that was owed moves the position to the end of its gap. @param {SnapshotFrame} frame @returns {Snapshot} */
  snapshot(frame) {
    const gap = this.owed;
    this.owed = null;
    if (gap !== null) this.seq = gap.to;
    return { kind: "snapshot", seq: this.seq ?? 0, gap, jobs: frame.jobs };
  }

  /** The events that were not handed out before. @param {EventsFrame} frame @returns {Item[]} */
  fresh(frame) {
    /** @type {Item[]} */
    const items = [];
    for (const event of frame.events) {
      if (this.seq !== null && event.seq <= this.seq) continue;
      this.seq = event.seq;
      items.push({ kind: "event", seq: event.seq, event });
    }
    return items;
  }
}
