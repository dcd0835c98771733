// @ts-check
/** Commands on their way; the invariants are those of `regend.client.commands`. */

import { StreamError } from "./errors.js";
import {
  CLIENT_FRAME_BYTES,
  STREAM_COMMANDS,
  STREAM_COMMANDS_BURST,
  STREAM_COMMANDS_IN_FLIGHT,
  STREAM_COMMANDS_PER_S,
} from "./limits.js";
import { byteLength } from "./values.js";

const ONE_SENDING = 1 - 1e-6; // less the rounding of the refill: else a timer could fire for nothing

/** @typedef {{id: string, frame: string, sent: boolean, addedJobs: string[]}} Command */

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
    const command = { id, frame, sent: false, addedJobs: [] };
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
