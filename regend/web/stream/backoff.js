// @ts-check
/** How long a stream waits between connections, and when it gives up (rules 7, 8 and 9). */

import { STREAM_LONGEST_WAIT_S, STREAM_SETTLED_S, STREAM_VIOLATIONS } from "./limits.js";

/** @typedef {{firstS: number, lastS: number, floodS: number}} Backoff */

/** @type {Backoff} */
export const DEFAULT_BACKOFF = { firstS: 0.25, lastS: 10, floodS: 5 };

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
