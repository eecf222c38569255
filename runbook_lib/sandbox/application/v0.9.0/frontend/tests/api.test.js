import { afterEach, expect, test, vi } from "vitest";

import { scan, ScanError } from "../src/api.js";

afterEach(() => vi.unstubAllGlobals());

function answers(status, body) {
  const fetched = vi.fn(async () => new Response(body, { status }));
  vi.stubGlobal("fetch", fetched);
  return fetched;
}

test("the content is sent to our own host", async () => {
  const fetched = answers(200, '{"type": "bip21", "fields": {}}');
  expect((await scan("bitcoin:x")).type).toBe("bip21");
  const [address, request] = fetched.mock.calls[0];
  expect(address).toBe("/api/scan/");
  expect(JSON.parse(request.body)).toEqual({ content: "bitcoin:x" });
});

test("a refusal says why", async () => {
  answers(422, '{"detail": "the bech32 checksum is wrong"}');
  await expect(scan("x")).rejects.toThrow(new ScanError("the bech32 checksum is wrong"));
});

test("an answer that is not JSON says its status", async () => {
  answers(502, "<html>Bad gateway</html>");
  await expect(scan("x")).rejects.toThrow("502");
});

test("no answer is an error of its own", async () => {
  vi.stubGlobal("fetch", async () => {
    throw new TypeError("network");
  });
  await expect(scan("x")).rejects.toThrow(ScanError);
});
