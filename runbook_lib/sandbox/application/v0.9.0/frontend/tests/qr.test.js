import { readFileSync } from "node:fs";

import { expect, test } from "vitest";

import { decode } from "../src/qr.js";

/** A QR code drawn with "#" and " " as pixels, `scale` to a module, with the quiet zone that readers need. */
function drawn(text, scale = 4, quiet = 4) {
  const rows = text.trimEnd().split("\n");
  const side = (rows.length + 2 * quiet) * scale;
  const data = new Uint8ClampedArray(side * side * 4).fill(255);
  for (let y = 0; y < side; y += 1) {
    for (let x = 0; x < side; x += 1) {
      const dark = rows[Math.floor(y / scale) - quiet]?.[Math.floor(x / scale) - quiet] === "#";
      if (dark) {
        data.fill(0, (y * side + x) * 4, (y * side + x) * 4 + 3);
      }
    }
  }
  return { data, width: side, height: side };
}

test("a QR code is read", () => {
  const picture = drawn(readFileSync("tests/satoshi_at_example_com.txt", "utf-8"));
  expect(decode(picture)).toBe("satoshi@example.com");
});

test("a picture without a QR code gives nothing", () => {
  expect(decode(drawn("#"))).toBeNull();
});
