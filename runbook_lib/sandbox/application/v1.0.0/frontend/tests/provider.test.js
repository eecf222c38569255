import { expect, test } from "vitest";

import { showResult } from "../src/view.js";

test.each([
  ["Blink", ["scanned", "provider", "user"]],
  [null, ["scanned", "user"]],
])("a result names the provider where it is known: %s", (provider, expected) => {
  const place = document.createElement("section");
  showResult(place, "satoshi@blink.sv", { type: "lightning_address", provider, fields: { user: "satoshi" } });
  expect([...place.querySelectorAll("dt")].map((term) => term.textContent)).toEqual(expected);
});
