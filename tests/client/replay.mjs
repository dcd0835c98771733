// Runs scripts (a JSON list on stdin) on the JavaScript core and prints their traces, in the
// form of `run_script` in scripts.py.
import { readFileSync } from "node:fs";
import { StreamError, StreamProtocol } from "../../regend/web/client.js";

const CHANCES = [0, 0.25, 0.5, 0.875];

function newProtocol({ jobs = null, after_seq = null, epoch = null }) {
  let drawn = 0;
  let made = 0;
  const random = () => CHANCES[drawn++ % CHANCES.length];
  const newKey = () => `k${++made}`;
  return new StreamProtocol({ jobs, afterSeq: after_seq, epoch, random, newKey });
}

const STEPS = {
  start: (protocol, step) => protocol.start(step.at),
  opened: (protocol, step) => protocol.opened(step.at),
  received: (protocol, step) => protocol.received(step.text, step.at),
  closed: (protocol, step) => protocol.closed(step.code, step.reason, step.at),
  refused: (protocol, step) =>
    protocol.refused(step.status, new StreamError("refused", ""), step.retry_after_s ?? null, step.at),
  timer: (protocol, step) => protocol.timer(step.at),
  submit: (protocol, step) => protocol.submit(step.op, step.fields, step.at)[1],
  close: (protocol) => protocol.close(),
};

function plain(action) {
  if (action.do === "send") return { do: "send", frame: JSON.parse(action.text) };
  if (action.do === "fail") return { do: "fail", code: action.error.code };
  if (action.do !== "settle") return action;
  const { id, answer } = action;
  return answer instanceof StreamError ? { do: "settle", id, error: answer.code } : { do: "settle", id, answer };
}

function runStep(protocol, step) {
  let actions;
  try {
    actions = STEPS[step.do](protocol, step).map(plain);
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
    actions = [{ raised: error.code }];
  }
  const { state, epoch, seq, deadlineS } = protocol;
  return { actions, state, epoch, seq, deadline_s: deadlineS };
}

const scripts = JSON.parse(readFileSync(0, "utf8"));
const traces = scripts.map(({ options, steps }) => {
  const protocol = newProtocol(options);
  return steps.map((step) => runStep(protocol, step));
});
process.stdout.write(JSON.stringify(traces));
