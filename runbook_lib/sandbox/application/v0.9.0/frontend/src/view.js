/*
 * Results and errors as text. Whatever a QR code holds is a stranger's text, so everything goes through
 * textContent: nothing is ever read as markup, and no address becomes a link.
 */

const NAMES = {
  bip21: "Bitcoin address",
  bolt11: "Lightning invoice",
  lnurl: "LNURL",
  lightning_address: "Lightning address",
};

function element(tag, text) {
  const created = document.createElement(tag);
  created.textContent = text;
  return created;
}

function shown(value) {
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function isEmpty(value) {
  return value == null || value === "" || (typeof value === "object" && Object.keys(value).length === 0);
}

/** Show what the service found in `content`. */
export function showResult(place, content, receipt) {
  const list = document.createElement("dl");
  for (const [name, value] of Object.entries({ scanned: content, ...receipt.fields })) {
    if (!isEmpty(value)) {
      list.append(element("dt", name.replaceAll("_", " ")), element("dd", shown(value)));
    }
  }
  place.className = "valid";
  place.replaceChildren(element("h2", NAMES[receipt.type] ?? receipt.type), list);
}

/** Show why there is no result; `content` is what was scanned, if anything was. */
export function showError(place, message, content = "") {
  place.className = "invalid";
  place.replaceChildren(element("h2", "Not a valid payment request"), element("p", message));
  if (content) {
    place.append(element("pre", content));
  }
}

/** Show that something is under way. */
export function showProgress(place, message) {
  place.className = "";
  place.replaceChildren(element("p", message));
}
