import { readFileSync } from "node:fs";

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { connect } from "../src/page.js";

const html = readFileSync("index.html", "utf-8");

beforeEach(() => {
  document.body.innerHTML = html.slice(html.indexOf("<main>"), html.indexOf("</body>"));
  connect(document);
});

afterEach(() => vi.unstubAllGlobals());

function type(content) {
  document.getElementById("content").value = content;
  document.getElementById("typed").dispatchEvent(new Event("submit", { cancelable: true }));
}

test("typed content is checked and its result shown", async () => {
  vi.stubGlobal("fetch", async () => Response.json({ type: "lightning_address", fields: { user: "satoshi" } }));
  type("satoshi@example.com");
  await vi.waitFor(() => expect(document.querySelector("#result h2").textContent).toBe("Lightning address"));
});

test("a refusal is shown with what was typed", async () => {
  vi.stubGlobal("fetch", async () => Response.json({ detail: "this is no payment request" }, { status: 422 }));
  type("<b>bold</b>");
  await vi.waitFor(() => expect(document.querySelector("#result pre").textContent).toBe("<b>bold</b>"));
  expect(document.querySelector("#result b")).toBeNull();
});

test("a camera that is refused is explained, and the button can be used again", async () => {
  vi.stubGlobal("navigator", { mediaDevices: { getUserMedia: async () => Promise.reject(new Error("denied")) } });
  document.getElementById("camera").click();
  await vi.waitFor(() => expect(document.getElementById("result").textContent).toContain("camera"));
  expect(document.getElementById("camera").getAttribute("aria-pressed")).toBe("false");
});

test("the page itself has no inline script, style or handler", () => {
  expect(html).not.toMatch(/<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=/);
});
