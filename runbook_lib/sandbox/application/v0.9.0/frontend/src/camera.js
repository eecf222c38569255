import { decode, pixels } from "./qr.js";

const PAUSE_MILLISECONDS = 100;

/** Watches the camera until it sees a QR code, or is stopped. */
export class Camera {
  #video;
  #stream = null;

  constructor(video) {
    this.#video = video;
  }

  get running() {
    return this.#stream !== null;
  }

  /** The text of the first QR code seen; null where stop() came first. Throws where there is no camera to use. */
  async read() {
    this.#stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    try {
      this.#video.srcObject = this.#stream;
      this.#video.hidden = false;
      await this.#video.play();
      return await this.#watch();
    } finally {
      this.stop();
    }
  }

  stop() {
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = null;
    this.#video.srcObject = null;
    this.#video.hidden = true;
  }

  async #watch() {
    while (this.running) {
      const { videoWidth, videoHeight } = this.#video;
      const found = videoWidth ? decode(pixels(this.#video, videoWidth, videoHeight)) : null;
      if (found) {
        return found;
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MILLISECONDS));
    }
    return null;
  }
}
