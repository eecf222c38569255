import { beforeEach, expect, test } from "vitest";

import { showError, showProgress, showResult } from "../src/view.js";

const HOSTILE = '<img src=x onerror="alert(1)"><script>alert(2)</script>';
let place;

beforeEach(() => {
  place = document.createElement("section");
});

test("a result shows its type and its fields", () => {
  showResult(place, "bitcoin:x", { type: "bip21", fields: { amount_sats: 5, label: null, other: {} } });
  expect(place.querySelector("h2").textContent).toBe("Bitcoin address");
  const terms = [...place.querySelectorAll("dt")].map((term) => term.textContent);
  expect(terms).toEqual(["scanned", "amount sats"]);
  expect(place.className).toBe("valid");
});

test("hostile fields stay text", () => {
  showResult(place, HOSTILE, { type: HOSTILE, fields: { label: HOSTILE, [HOSTILE]: "x", other: { a: HOSTILE } } });
  expect(place.querySelector("img, script")).toBeNull();
  expect(place.textContent).toContain(HOSTILE);
});

test("hostile errors stay text", () => {
  showError(place, HOSTILE, HOSTILE);
  expect(place.querySelector("img, script")).toBeNull();
  expect(place.querySelector("pre").textContent).toBe(HOSTILE);
  expect(place.className).toBe("invalid");
});

test("no address becomes a link", () => {
  showResult(place, "x", { type: "lnurl", fields: { url: "javascript:alert(1)" } });
  expect(place.querySelector("a")).toBeNull();
});

test("a new result replaces the old one", () => {
  showError(place, "old");
  showProgress(place, "Checking…");
  expect(place.textContent).toBe("Checking…");
  expect(place.className).toBe("");
});
