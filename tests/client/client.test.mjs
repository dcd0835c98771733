// What only the JavaScript core has; the rest is compared with the Python core by replay.mjs.
import assert from "node:assert/strict";
import test from "node:test";
import { StreamError, StreamProtocol } from "../../regend/web/client.js";

function protocolIn(state) {
  const protocol = new StreamProtocol({ afterSeq: 0, random: () => 0.5, newKey: () => "k" });
  protocol.start(0);
  if (state === "connecting") return protocol;
  protocol.opened(0);
  protocol.received('{"op":"hello","epoch":"e1","seq":0,"resumed":true,"gap":null}', 0);
  if (state === "live") return protocol;
  protocol.closed(1006, "", 0);
  return protocol;
}

const does = (actions) => actions.map((action) => action.do);

test("a nudge ends a wait at once and leaves a living connection alone", () => {
  assert.deepEqual(does(protocolIn("waiting").nudge(0)), ["connect"]);
  assert.deepEqual(does(protocolIn("live").nudge(0)), []);
  assert.deepEqual(does(protocolIn("connecting").nudge(0)), []);
});

test("a nudge after many failures begins the backoff anew", () => {
  const protocol = protocolIn("waiting");
  for (let turn = 1; turn < 9; turn += 1) {
    protocol.timer(turn * 20);
    protocol.closed(1006, "", turn * 20);
  }
  protocol.nudge(200);
  protocol.closed(1006, "", 200);
  assert.ok(protocol.deadlineS - 200 <= 0.5);
});

test("a refresh replaces a connection that may be dead and asks from the same position", () => {
  const protocol = protocolIn("live");
  assert.deepEqual(does(protocol.refresh(1)), ["disconnect", "connect"]);
  assert.equal(JSON.parse(protocol.opened(1)[0].text).after_seq, 0);
});

test("a closed stream does nothing more, whatever happens", () => {
  const protocol = protocolIn("live");
  protocol.close();
  for (const actions of [protocol.nudge(1), protocol.refresh(1), protocol.timer(99), protocol.closed(1006, "", 1)]) {
    assert.deepEqual(actions, []);
  }
  assert.throws(() => protocol.submit("cancel", { job_id: "j" }, 1), StreamError);
});

test("a seq that a JavaScript number cannot hold is refused, not rounded", () => {
  const protocol = protocolIn("live");
  const text = '{"op":"events","events":[{"seq":9007199254740993,"type":"t","data":{}}]}';
  assert.deepEqual(does(protocol.received(text, 0)), ["disconnect"]);
  assert.equal(protocol.seq, 0);
});
