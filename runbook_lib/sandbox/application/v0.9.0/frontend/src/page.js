import { scan, ScanError } from "./api.js";
import { Camera } from "./camera.js";
import { decodeFile } from "./qr.js";
import { showError, showProgress, showResult } from "./view.js";

/** Connect the page's controls: typed text, a picture, the camera. */
export function connect(page) {
  const at = (id) => page.getElementById(id);
  const result = at("result");
  const camera = new Camera(at("preview"));

  async function check(content) {
    showProgress(result, "Checking…");
    try {
      showResult(result, content, await scan(content));
    } catch (error) {
      if (!(error instanceof ScanError)) {
        throw error;
      }
      showError(result, error.message, content);
    }
  }

  at("typed").addEventListener("submit", (event) => {
    event.preventDefault();
    check(at("content").value);
  });

  at("image").addEventListener("change", async ({ target }) => {
    const [file] = target.files;
    if (!file) {
      return;
    }
    const found = await decodeFile(file).catch(() => null);
    await (found ? check(found) : showError(result, "There is no QR code to be read in this picture."));
    target.value = "";
  });

  at("camera").addEventListener("click", async ({ currentTarget: button }) => {
    if (camera.running) {
      camera.stop();
      return;
    }
    button.setAttribute("aria-pressed", "true");
    button.textContent = "Stop the camera";
    try {
      const found = await camera.read();
      if (found) {
        await check(found);
      }
    } catch {
      showError(result, "The camera cannot be used. Was it allowed?");
    } finally {
      button.setAttribute("aria-pressed", "false");
      button.textContent = "Scan with the camera";
    }
  });
}
