// @ts-check
/** The bounds of regend/limits.py that a browser's stream keeps, with their reasons there. */

export const CLIENT_FRAME_BYTES = 64 * 1024;
export const STREAM_CONNECT_TIMEOUT_S = 10;
export const STREAM_SETTLED_S = 10;
export const STREAM_LONGEST_WAIT_S = 60;
export const STREAM_COMMANDS = 1000;
export const STREAM_COMMANDS_IN_FLIGHT = 32;
export const STREAM_COMMANDS_BURST = 100;
export const STREAM_COMMANDS_PER_S = 40;
export const STREAM_FRAME_CHARACTERS = 80 * 1024 * 1024;
export const STREAM_VIOLATIONS = 5;
