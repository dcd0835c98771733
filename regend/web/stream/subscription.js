// @ts-check
/** Which jobs a stream follows: all of the caller's, or a set that commands change. */

import { StreamError } from "./errors.js";
import { CLIENT_FRAME_BYTES } from "./limits.js";
import { byteLength } from "./values.js";

const ENVELOPE_BYTES = 1024; // what hello says beside its jobs

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

/** @param {any} jobs @returns {string[]} */
function checkedJobs(jobs) {
  if (!Array.isArray(jobs) || !jobs.every((job) => typeof job === "string" && job !== "")) {
    throw new StreamError("bad_job_ids", "jobs must be a list of job ids.", { field: "jobs", status: 400 });
  }
  if (byteLength(JSON.stringify(jobs)) + ENVELOPE_BYTES > CLIENT_FRAME_BYTES) {
    throw new StreamError("too_many_jobs", `${jobs.length} jobs do not fit into one subscription.`, {
      hint: "Follow all jobs, or open a second stream.",
      status: 413,
    });
  }
  return jobs;
}
