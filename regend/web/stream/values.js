// @ts-check
/** What a value from outside must be before anything relies on it. */

/** @param {string} text */
export function byteLength(text) {
  return new TextEncoder().encode(text).length;
}

/** @param {unknown} value @returns {value is number} */
export function isPosition(value) {
  return Number.isSafeInteger(value) && /** @type {number} */ (value) >= 0;
}

/** @param {unknown} value @returns {value is Record<string, any>} */
export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
